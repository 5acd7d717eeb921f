-- The last bypass probe of the period and how many there were, as whoever ran them declared (crawl-audit-proxy probe).
SELECT count(*) AS probes,
       count(*) FILTER (WHERE incident = 'egress_probe_open') AS open,
       max(recorded_at) AS last_at,
       max_by(regexp_replace(incident, '^egress_probe_', ''), (recorded_at, log, seq)) AS last_result
FROM incident
WHERE incident IN ('egress_probe_open', 'egress_probe_closed', 'egress_probe_inconclusive')
  AND ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP);
