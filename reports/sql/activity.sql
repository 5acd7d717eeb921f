-- One row per crawler: what it asked for in the period, and what became of it.
SELECT crawler,
       list_sort(list_distinct(list(product_token))) AS product_tokens,
       count(*) AS requests,
       count(*) FILTER (WHERE action = 'forwarded') AS forwarded,
       count(*) FILTER (WHERE action = 'denied') AS denied,
       count(*) FILTER (WHERE verdict = 'disallowed') AS disallowed,
       count(*) FILTER (WHERE verdict = 'disallowed' AND action = 'forwarded') AS violations,
       count(DISTINCT site) AS sites,
       count(DISTINCT host) AS hosts,
       CAST(coalesce(sum(response_bytes), 0) AS BIGINT) AS bytes,
       count(*) FILTER (WHERE action = 'forwarded' AND outcome IS NULL) AS without_completion,
       count(*) FILTER (WHERE barrier IS NOT NULL) AS barriers,
       count(*) FILTER (WHERE asked_ms > 0) AS pace_asked,
       count(*) FILTER (WHERE since_previous_ms < asked_ms) AS faster_than_asked,
       min(since_previous_ms) FILTER (WHERE asked_ms > 0) AS shortest_interval_ms,
       quantile_disc(since_previous_ms, 0.5) FILTER (WHERE asked_ms > 0) AS median_interval_ms,
       count(*) FILTER (WHERE held_ms > 0) AS held,
       list_sort(list_distinct(list(mode))) AS modes,
       min(recorded_at) FILTER (WHERE action = 'forwarded') AS collection_from,
       max(recorded_at) FILTER (WHERE action = 'forwarded') AS collection_to
FROM (
    -- the pace asked of requests that were made; greatest() looks past NULL
    SELECT *, CASE WHEN action = 'forwarded' THEN greatest(crawl_delay_ms, request_interval_ms) END AS asked_ms
    FROM exchange
)
WHERE ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
GROUP BY crawler ORDER BY crawler;
