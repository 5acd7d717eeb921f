-- Per crawler and authority where a pace was asked: how it was kept; those it was kept least first.
SELECT crawler, scheme, host, port,
       max(asked_ms) AS asked_ms,
       count(*) AS pace_asked,
       count(*) FILTER (WHERE since_previous_ms < asked_ms) AS faster_than_asked,
       min(since_previous_ms) AS shortest_interval_ms,
       quantile_disc(since_previous_ms, 0.5) AS median_interval_ms,
       count(*) FILTER (WHERE held_ms > 0) AS held
FROM (
    -- the pace asked of requests that were made; greatest() looks past NULL
    SELECT *, CASE WHEN action = 'forwarded' THEN greatest(crawl_delay_ms, request_interval_ms) END AS asked_ms
    FROM decision
)
WHERE asked_ms > 0
  AND ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
GROUP BY crawler, scheme, host, port
ORDER BY crawler, faster_than_asked DESC, pace_asked DESC, host, port, scheme;
