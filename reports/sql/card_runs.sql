-- Mode and settings of every start of a sidecar whose log reaches into the period: what it does for site owners.
WITH ended AS (SELECT log, max(recorded_at) AS last_at FROM seal GROUP BY log)
SELECT DISTINCT r.mode, r.settings
FROM run AS r LEFT JOIN ended ON ended.log = r.log
WHERE r.event = 'start'
  AND ($start::TIMESTAMP IS NULL OR coalesce(ended.last_at, r.recorded_at) >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR r.recorded_at < $end::TIMESTAMP)
ORDER BY r.mode, r.settings;
