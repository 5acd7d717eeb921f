-- The robots.txt copies that the matched decisions rest on, the first of them, and what was decided on each.
-- Logs by hashes of their long names, which no two share.
WITH matched AS MATERIALIZED (
    SELECT hash(log) AS log, snapshot_seq,
           count(*) FILTER (WHERE verdict = 'allowed') AS allowed,
           count(*) FILTER (WHERE verdict = 'disallowed') AS disallowed
    FROM decision
    WHERE ($site::VARCHAR IS NULL OR site = $site::VARCHAR)
      AND ($site::VARCHAR IS NOT NULL OR host = $host::VARCHAR
           OR ($subdomains::BOOLEAN AND ends_with(host, '.' || $host::VARCHAR)))
      AND ($scheme::VARCHAR IS NULL OR scheme = $scheme::VARCHAR)
      AND ($port::BIGINT IS NULL OR port = $port::BIGINT)
      AND ($targets::VARCHAR[] IS NULL OR list_contains($targets::VARCHAR[], target))
      AND ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
      AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
      AND snapshot_seq IS NOT NULL
    GROUP BY ALL
),
copy AS (SELECT * FROM snapshot WHERE seq IN (SELECT snapshot_seq FROM matched))
SELECT s.scheme, s.host, s.port, s.log, s.seq, s.recorded_at AS "from", s.valid_until AS "until", s.source, s.status,
       s.outcome, s.robots_sha256 AS sha256, m.allowed, m.disallowed,
       count(*) OVER () AS copies
FROM matched AS m JOIN copy AS s ON hash(s.log) = m.log AND s.seq = m.snapshot_seq
ORDER BY "from", s.log, s.seq
LIMIT $rows_max;
