-- The authorities (scheme, host, port) whose robots.txt was fetched: how often, and how many different ones came back.
WITH taken AS (
    SELECT p.scheme, p.host, p.port, p.outcome, p.robots_sha256, p.body_bytes
    FROM snapshot AS p
    WHERE ($site::VARCHAR IS NULL OR p.host = $site::VARCHAR OR ends_with(p.host, '.' || $site::VARCHAR))
      AND ($site::VARCHAR IS NOT NULL OR $host::VARCHAR IS NULL OR p.host = $host::VARCHAR
           OR ($subdomains::BOOLEAN AND ends_with(p.host, '.' || $host::VARCHAR)))
      AND ($scheme::VARCHAR IS NULL OR p.scheme = $scheme::VARCHAR)
      AND ($port::BIGINT IS NULL OR p.port = $port::BIGINT)
      -- fetched in the period, or valid into it
      AND ($start::TIMESTAMP IS NULL OR p.recorded_at >= $start::TIMESTAMP OR p.valid_until > $start::TIMESTAMP)
      AND ($end::TIMESTAMP IS NULL OR p.recorded_at < $end::TIMESTAMP)
)
SELECT scheme, host, port, count(*) AS fetches,
       -- that it could not be reached is no other robots.txt
       count(DISTINCT coalesce(robots_sha256, 'none')) FILTER (WHERE outcome <> 'unreachable') AS different,
       CAST(coalesce(sum(DISTINCT body_bytes), 0) AS BIGINT) AS body_bytes
FROM taken GROUP BY scheme, host, port ORDER BY different DESC, scheme, host, port;
