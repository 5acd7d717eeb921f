-- The requests a question is about, counted in one pass: in all, by crawler, and by day (UTC), verdict and action.
-- `what` says which of these a row is; the columns it is not by are NULL.
WITH matched AS (
    SELECT crawler, product_token, CAST(recorded_at AS DATE) AS "day", verdict, action,
           basis = 'robots_txt' AS is_robots_txt,
           count(*) AS requests, min(recorded_at) AS first_at, max(recorded_at) AS last_at
    FROM decision
    WHERE ($site::VARCHAR IS NULL OR site = $site::VARCHAR)
      AND ($site::VARCHAR IS NOT NULL OR host = $host::VARCHAR
           OR ($subdomains::BOOLEAN AND ends_with(host, '.' || $host::VARCHAR)))
      AND ($scheme::VARCHAR IS NULL OR scheme = $scheme::VARCHAR)
      AND ($port::BIGINT IS NULL OR port = $port::BIGINT)
      AND ($targets::VARCHAR[] IS NULL OR list_contains($targets::VARCHAR[], target))
      AND ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
      AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
    GROUP BY ALL
)
SELECT CASE WHEN grouping(crawler) = 0 THEN 'crawler' WHEN grouping("day") = 0 THEN 'day' ELSE 'all' END AS what,
       crawler, product_token, "day", verdict, action,
       CAST(coalesce(sum(requests), 0) AS BIGINT) AS requests,
       CAST(coalesce(sum(requests) FILTER (WHERE action = 'forwarded'), 0) AS BIGINT) AS forwarded,
       CAST(coalesce(sum(requests) FILTER (WHERE action = 'denied'), 0) AS BIGINT) AS denied,
       CAST(coalesce(sum(requests) FILTER (WHERE verdict = 'disallowed'), 0) AS BIGINT) AS disallowed,
       CAST(coalesce(sum(requests) FILTER (WHERE action = 'forwarded' AND verdict = 'disallowed'), 0) AS BIGINT)
           AS violations,
       CAST(coalesce(sum(requests) FILTER (WHERE action = 'forwarded' AND is_robots_txt), 0) AS BIGINT)
           AS robots_txt_requests,
       min(first_at) AS first_at, max(last_at) AS last_at
FROM matched
GROUP BY GROUPING SETS ((), (crawler, product_token), ("day", verdict, action))
ORDER BY what, crawler, product_token, "day", verdict, action;
