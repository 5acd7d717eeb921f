-- Usage preferences and pacing wishes found with the matched requests, in the answers and in their robots.txt, and
-- how many of the matched requests to the same host left after each was first found.
WITH matched AS (
    SELECT * FROM decision
    WHERE ($site::VARCHAR IS NULL OR site = $site::VARCHAR)
      AND ($site::VARCHAR IS NOT NULL OR host = $host::VARCHAR
           OR ($subdomains::BOOLEAN AND ends_with(host, '.' || $host::VARCHAR)))
      AND ($scheme::VARCHAR IS NULL OR scheme = $scheme::VARCHAR)
      AND ($port::BIGINT IS NULL OR port = $port::BIGINT)
      AND ($targets::VARCHAR[] IS NULL OR list_contains($targets::VARCHAR[], target))
      AND ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
      AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
),
found AS (
    SELECT s.*, a.host
    FROM signal AS s JOIN (SELECT DISTINCT log, exchange_id, host FROM matched) AS a
         ON a.log = s.log AND a.exchange_id = s.exchange_id
    WHERE s.snapshot_seq IS NULL
    UNION ALL
    SELECT s.*, r.host
    FROM signal AS s JOIN snapshot AS r ON r.log = s.log AND r.seq = s.snapshot_seq
    WHERE EXISTS (SELECT 1 FROM matched AS m WHERE m.log = s.log AND m.snapshot_seq = s.snapshot_seq)
),
wish AS (
    SELECT host, protocol, raw, value, scope,
           count(*) AS count, min(recorded_at) AS first_at, max(recorded_at) AS last_at
    FROM found GROUP BY ALL
),
-- at each instant of a request that left: how many had left for the same host until then
left_until AS (
    SELECT host, recorded_at, sum(count(*)) OVER (PARTITION BY host ORDER BY recorded_at) AS so_far
    FROM matched WHERE action = 'forwarded' GROUP BY host, recorded_at
),
left_in_all AS (SELECT host, max(so_far) AS requests FROM left_until GROUP BY host)
SELECT w.protocol, w.host, w.raw, w.value, w.scope, w.count, w.first_at, w.last_at,
       CAST(coalesce(t.requests, 0) - coalesce(u.so_far, 0) AS BIGINT) AS requests_after,
       count(*) OVER () AS wishes
FROM wish AS w
ASOF LEFT JOIN left_until AS u ON u.host = w.host AND w.first_at >= u.recorded_at
LEFT JOIN left_in_all AS t ON t.host = w.host
ORDER BY w.protocol, w.first_at, w.host, w.raw, w.scope
LIMIT $rows_max;
