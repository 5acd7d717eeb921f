-- Every start of a sidecar whose log reaches into the period: mode, settings, how it ended, up to when it was sealed.
WITH sealed AS (
    SELECT log, count(*) AS seals, max(recorded_at) AS last_seal_at, arg_max(reason, seq) AS last_reason,
           max(dropped) AS dropped
    FROM seal GROUP BY log
), stopped AS (
    SELECT log, max(recorded_at) AS stopped_at, arg_max(reason, seq) AS stop_reason
    FROM run WHERE event = 'stop' GROUP BY log
)
SELECT r.node, r.log, r.recorded_at AS started_at, r.mode, r.settings_sha256, r.previous_log,
       r.previous_log IS NULL OR r.previous_log IN (SELECT DISTINCT log FROM seal) AS previous_here,
       t.stopped_at, t.stop_reason, s.last_seal_at, coalesce(s.last_reason, '') AS last_reason,
       coalesce(s.seals, 0) AS seals, coalesce(s.dropped, 0) AS dropped_records
FROM run AS r LEFT JOIN sealed AS s ON s.log = r.log LEFT JOIN stopped AS t ON t.log = r.log
WHERE r.event = 'start'
  AND ($start::TIMESTAMP IS NULL OR coalesce(t.stopped_at, s.last_seal_at, r.recorded_at) >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR r.recorded_at < $end::TIMESTAMP)
ORDER BY r.node, r.recorded_at, r.log;
