-- The URLs of fetches that are to be judged again: those under the copies listed, one item of each list together.
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
), listed AS (
    SELECT unnest($sites::VARCHAR[]) AS site, unnest($schemes::VARCHAR[]) AS scheme, unnest($hosts::VARCHAR[]) AS host,
           unnest($ports::BIGINT[]) AS port, unnest($tokens::VARCHAR[]) AS product_token,
           unnest($copies::VARCHAR[]) AS copy_then
)
SELECT a.site, a.scheme, a.host, a.port, a.product_token, a.target, any_value(a.url) AS url, count(*) AS requests,
       min(a.recorded_at) AS first_at, max(a.recorded_at) AS last_at
FROM asked AS a JOIN listed AS l
  ON l.site = a.site AND l.scheme = a.scheme AND l.host = a.host AND l.port = a.port
 AND l.product_token = a.product_token AND l.copy_then = coalesce(a.robots_sha256, '')
WHERE a.target IS NOT NULL
  AND (a.verdict = 'allowed' AND a.basis <> 'exemption' OR a.basis IN ('signal', 'crawl_delay'))
GROUP BY a.site, a.scheme, a.host, a.port, a.product_token, a.target
ORDER BY a.site, a.host, a.port, a.scheme, a.target, a.product_token;
