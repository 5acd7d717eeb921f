-- Every robots.txt asked for of some authorities (scheme, host, port) up to the end of a period, by log in its order.
SELECT p.log, p.scheme, p.host, p.port, p.seq, p.recorded_at, p.source, p.outcome, p.valid_until, p.fetch_ms,
       p.status, p.error, p.robots_sha256, p.body_bytes, p.truncated, p.looks_like_html, p.final_url, p.redirects,
       p.fetched_at, p.origin_log
FROM snapshot AS p JOIN (
    SELECT unnest($schemes::VARCHAR[]) AS scheme, unnest($hosts::VARCHAR[]) AS host, unnest($ports::BIGINT[]) AS port
) AS a ON a.scheme = p.scheme AND a.host = p.host AND a.port = p.port
WHERE ($end::TIMESTAMP IS NULL OR p.recorded_at < $end::TIMESTAMP)
ORDER BY p.log, p.scheme, p.host, p.port, p.seq;
