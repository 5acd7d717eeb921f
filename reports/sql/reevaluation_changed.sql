-- Fetches that another robots.txt than that of now allowed, by scheme, host, port, product tokens and copy.
WITH asked AS (
    SELECT * FROM decision
    WHERE ($site::VARCHAR IS NULL OR site = $site::VARCHAR)
      AND ($site::VARCHAR IS NOT NULL OR $host::VARCHAR IS NULL OR host = $host::VARCHAR
           OR ($subdomains::BOOLEAN AND ends_with(host, '.' || $host::VARCHAR)))
      AND ($scheme::VARCHAR IS NULL OR scheme = $scheme::VARCHAR)
      AND ($port::BIGINT IS NULL OR port = $port::BIGINT)
      AND ($targets::VARCHAR[] IS NULL OR list_contains($targets::VARCHAR[], target))
      AND ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
      AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
      AND action = 'forwarded' AND basis <> 'robots_txt'
), copies AS ( -- that a crawler did not reach a robots.txt says nothing of what the sidecar would get
    SELECT scheme, host, port, outcome, robots_sha256 FROM snapshot
    WHERE ($as_of::TIMESTAMP IS NULL OR recorded_at < $as_of::TIMESTAMP)
      AND NOT (source = 'observed' AND outcome = 'unreachable')
    QUALIFY row_number() OVER (PARTITION BY scheme, host, port ORDER BY recorded_at DESC, log DESC, seq DESC) = 1
), kept AS (
    SELECT robots_sha256, max(body_bytes) AS body_bytes FROM robots_body GROUP BY robots_sha256
), counted AS (
    SELECT site, scheme, host, port, product_token, robots_sha256, count(*) AS requests
    FROM asked
    WHERE target IS NOT NULL
      AND (verdict = 'allowed' AND basis <> 'exemption' OR basis IN ('signal', 'crawl_delay'))
    GROUP BY site, scheme, host, port, product_token, robots_sha256
)
SELECT a.site, a.scheme, a.host, a.port, a.product_token, a.requests,
       coalesce(a.robots_sha256, '') AS copy_then, c.robots_sha256 AS copy_now, k.body_bytes
FROM counted AS a
JOIN copies AS c ON c.scheme = a.scheme AND c.host = a.host AND c.port = a.port
JOIN kept AS k ON k.robots_sha256 = c.robots_sha256
WHERE c.outcome = 'successful' AND a.robots_sha256 IS DISTINCT FROM c.robots_sha256
ORDER BY a.site, a.host, a.port, a.scheme, a.product_token, copy_then;
