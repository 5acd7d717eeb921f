-- The robots.txt copies that the matched decisions rest on, the first of them, and what was decided on each.
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
)
SELECT s.scheme, s.host, s.port, s.log, s.seq, s.recorded_at AS "from", s.valid_until AS "until", s.source, s.status,
       s.outcome, s.robots_sha256 AS sha256,
       count(*) FILTER (WHERE m.verdict = 'allowed') AS allowed,
       count(*) FILTER (WHERE m.verdict = 'disallowed') AS disallowed,
       count(*) OVER () AS copies
FROM matched AS m JOIN snapshot AS s ON s.log = m.log AND s.seq = m.snapshot_seq
GROUP BY ALL
ORDER BY "from", s.log, s.seq
LIMIT $rows_max;
