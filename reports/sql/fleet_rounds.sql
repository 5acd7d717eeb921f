-- How many rounds the fleet's job made, and the receipts of outsiders for the fleet's head that are on record already.
SELECT coalesce((SELECT max(round_index) + 1 FROM fleet_head), 0) AS rounds,
       coalesce((SELECT list(receipt_sha256) FROM anchor), []) AS receipts;
