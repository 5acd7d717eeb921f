-- The settings in force in the period, each once, with the starts that had them.
WITH ended AS (SELECT log, max(recorded_at) AS last_at FROM seal GROUP BY log)
SELECT r.mode, r.settings, count(*) AS starts
FROM run AS r LEFT JOIN ended ON ended.log = r.log
WHERE r.event = 'start'
  AND ($start::TIMESTAMP IS NULL OR coalesce(ended.last_at, r.recorded_at) >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR r.recorded_at < $end::TIMESTAMP)
GROUP BY ALL ORDER BY ALL;
