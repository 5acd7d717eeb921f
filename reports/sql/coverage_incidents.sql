-- What made the log less than complete, by day (UTC) and fixed word.
SELECT CAST(CAST(recorded_at AS DATE) AS VARCHAR) AS day, incident, count(*) AS count
FROM incident
WHERE ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
GROUP BY day, incident ORDER BY day, incident;
