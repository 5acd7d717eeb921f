-- Usage preferences and pacing wishes found with the matched requests, in the answers and in their robots.txt, and
-- how many of the matched requests to the same host left after each was first found.
-- Logs by hashes of their long names, which no two share.
WITH matched AS MATERIALIZED (
    SELECT hash(log) AS log, exchange_id, snapshot_seq, host, recorded_at, action = 'forwarded' AS is_forwarded
    FROM decision
    WHERE ($site::VARCHAR IS NULL OR site = $site::VARCHAR)
      AND ($site::VARCHAR IS NOT NULL OR host = $host::VARCHAR
           OR ($subdomains::BOOLEAN AND ends_with(host, '.' || $host::VARCHAR)))
      AND ($scheme::VARCHAR IS NULL OR scheme = $scheme::VARCHAR)
      AND ($port::BIGINT IS NULL OR port = $port::BIGINT)
      AND ($targets::VARCHAR[] IS NULL OR list_contains($targets::VARCHAR[], target))
      AND ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
      AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
),
in_robots AS MATERIALIZED (
    SELECT hash(s.log) AS log, s.seq, s.snapshot_seq, s.protocol, s.raw, s.value, s.scope, s.recorded_at
    FROM signal AS s JOIN (SELECT DISTINCT log, snapshot_seq FROM matched WHERE snapshot_seq IS NOT NULL) AS m
      ON m.log = hash(s.log) AND m.snapshot_seq = s.snapshot_seq
),
-- as a list, because a join would be planned as if there were as many of them as there are signals
copy AS (
    SELECT hash(log) AS log, seq, host FROM snapshot
    WHERE seq IN (SELECT unnest(list(DISTINCT snapshot_seq)) FROM in_robots)
),
found AS (
    SELECT DISTINCT s.log, s.seq, m.host, s.protocol, s.raw, s.value, s.scope, s.recorded_at
    FROM signal AS s JOIN matched AS m ON m.log = hash(s.log) AND m.exchange_id = s.exchange_id
    WHERE s.snapshot_seq IS NULL
    UNION ALL
    SELECT NULL AS log, s.seq, r.host, s.protocol, s.raw, s.value, s.scope, s.recorded_at
    FROM in_robots AS s JOIN copy AS r ON r.log = s.log AND r.seq = s.snapshot_seq
),
wish AS MATERIALIZED (
    SELECT host, protocol, raw, value, scope,
           count(*) AS count, min(recorded_at) AS first_at, max(recorded_at) AS last_at
    FROM found GROUP BY ALL
),
-- at each instant of a request that left: how many had left for the same host until then
left_until AS (
    SELECT host, recorded_at, sum(count(*)) OVER (PARTITION BY host ORDER BY recorded_at) AS so_far
    FROM matched WHERE is_forwarded AND host IN (SELECT host FROM wish) GROUP BY host, recorded_at
),
left_in_all AS (SELECT host, count(*) AS requests FROM matched WHERE is_forwarded GROUP BY host)
SELECT w.protocol, w.host, w.raw, w.value, w.scope, w.count, w.first_at, w.last_at,
       CAST(coalesce(t.requests, 0) - coalesce(u.so_far, 0) AS BIGINT) AS requests_after,
       count(*) OVER () AS wishes
FROM wish AS w
ASOF LEFT JOIN left_until AS u ON u.host = w.host AND w.first_at >= u.recorded_at
LEFT JOIN left_in_all AS t ON t.host = w.host
ORDER BY w.protocol, w.first_at, w.host, w.raw, w.scope
LIMIT $rows_max;
