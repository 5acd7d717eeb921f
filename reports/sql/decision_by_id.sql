-- The decision of one exchange, with its completion.
SELECT * FROM exchange WHERE exchange_id = $exchange_id ORDER BY recorded_at DESC, log, seq DESC;
