-- One row per crawler: under which tokens it asked in the period, what robots.txt said, and how fast it was.
SELECT crawler,
       list_sort(list(DISTINCT product_token)) AS product_tokens,
       count(*) AS requests,
       count(*) FILTER (WHERE NOT token_in_user_agent) AS without_token,
       count(*) FILTER (WHERE basis NOT IN ('robots_txt', 'error')) AS evaluated,
       count(*) FILTER (WHERE verdict = 'disallowed') AS disallowed,
       count(*) FILTER (WHERE verdict = 'disallowed' AND action = 'denied') AS denied,
       count(*) FILTER (WHERE verdict = 'disallowed' AND action = 'forwarded') AS violations,
       count(*) FILTER (WHERE action = 'forwarded') AS forwarded,
       min(recorded_at) FILTER (WHERE action = 'forwarded') AS collection_from,
       max(recorded_at) FILTER (WHERE action = 'forwarded') AS collection_to,
       min(since_previous_ms) FILTER (WHERE action = 'forwarded') AS shortest_interval_ms,
       quantile_disc(since_previous_ms, 0.5) FILTER (WHERE action = 'forwarded') AS median_interval_ms,
       count(*) FILTER (WHERE asked_ms > 0) AS pace_asked,
       count(*) FILTER (WHERE since_previous_ms < asked_ms) AS faster_than_asked
FROM (
    -- the pace asked of requests that were made; greatest() looks past NULL
    SELECT *, CASE WHEN action = 'forwarded' THEN greatest(crawl_delay_ms, request_interval_ms) END AS asked_ms
    FROM decision
)
WHERE ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
GROUP BY crawler ORDER BY crawler;
