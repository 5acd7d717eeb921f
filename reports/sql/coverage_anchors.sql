-- Who outside has seen heads of the logs of the period, as the logs say, and how many of their seals that covers.
WITH sealed AS (
    SELECT log, count(*) AS seals, min(recorded_at) AS first_at, max(recorded_at) AS last_at FROM seal GROUP BY log
)
SELECT a.log, a.method, a.authority, count(*) AS receipts, max(a.checkpoint_size) AS seals_seen, s.seals,
       max(coalesce(a.stated_at, a.recorded_at)) AS last_seen_at
FROM anchor AS a JOIN sealed AS s ON s.log = a.log
WHERE ($start::TIMESTAMP IS NULL OR s.last_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR s.first_at < $end::TIMESTAMP)
GROUP BY a.log, a.method, a.authority, s.seals ORDER BY a.log, a.method, a.authority;
