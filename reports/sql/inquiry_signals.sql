-- Usage preferences and pacing wishes found with the matched requests: in the answers, and in their robots.txt.
WITH matched AS (
    SELECT * FROM exchange
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
    SELECT s.* FROM signal AS s
    WHERE EXISTS (SELECT 1 FROM matched AS m WHERE m.log = s.log AND m.exchange_id = s.exchange_id)
       OR EXISTS (SELECT 1 FROM matched AS m WHERE m.log = s.log AND m.snapshot_seq = s.snapshot_seq)
)
SELECT protocol, raw, value, scope, count(*) AS count, min(recorded_at) AS first_at, max(recorded_at) AS last_at
FROM found GROUP BY ALL ORDER BY protocol, first_at, raw, scope;
