-- What was fetched from each site, and what is known of the robots.txt of now: the last on record, or before a date.
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
    SELECT DISTINCT robots_sha256 FROM robots_body
), fetched AS ( -- what robots.txt alone said then: exemptions, preferences and pace are set aside
    SELECT site, scheme, host, port, count(*) AS requests,
           count(*) FILTER (WHERE verdict = 'allowed' AND basis <> 'exemption' OR basis IN ('signal', 'crawl_delay'))
               AS allowed_then,
           count(*) FILTER (WHERE target IS NULL
               AND (verdict = 'allowed' AND basis <> 'exemption' OR basis IN ('signal', 'crawl_delay'))) AS erased
    FROM asked GROUP BY site, scheme, host, port
)
SELECT f.site, CAST(sum(f.requests) AS BIGINT) AS fetched,
       CAST(sum(f.requests - f.allowed_then) AS BIGINT) AS disallowed_then,
       CAST(sum(CASE WHEN c.outcome = 'unavailable' THEN 0
                     WHEN c.outcome = 'successful' AND k.robots_sha256 IS NOT NULL THEN f.erased
                     ELSE f.allowed_then END) AS BIGINT) AS not_known_now
FROM fetched AS f
LEFT JOIN copies AS c ON c.scheme = f.scheme AND c.host = f.host AND c.port = f.port
LEFT JOIN kept AS k ON k.robots_sha256 = c.robots_sha256
GROUP BY f.site ORDER BY f.site;
