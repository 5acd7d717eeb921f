-- What made the log less than complete in the period, by its fixed word.
SELECT incident, count(*) AS count
FROM incident
WHERE ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
GROUP BY incident ORDER BY incident;
