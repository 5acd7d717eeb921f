-- What ran in the period: software, settings and trust of every start of a sidecar whose log reaches into it.
WITH ended AS (SELECT log, max(recorded_at) AS last_at FROM seal GROUP BY log)
SELECT r.log, r.node, r.recorded_at, r.mode, r.software, r.settings_sha256
FROM run AS r LEFT JOIN ended ON ended.log = r.log
WHERE r.event = 'start'
  AND ($start::TIMESTAMP IS NULL OR coalesce(ended.last_at, r.recorded_at) >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR r.recorded_at < $end::TIMESTAMP)
ORDER BY r.recorded_at, r.log;
