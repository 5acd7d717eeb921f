-- One row per site (registrable domain): what was asked of it in the period, and on what the verdicts rest.
SELECT site,
       count(DISTINCT host) AS hosts,
       list_sort(list_distinct(list(crawler))) AS crawlers,
       count(*) AS requests,
       count(*) FILTER (WHERE action = 'forwarded') AS forwarded,
       count(*) FILTER (WHERE action = 'denied') AS denied,
       count(*) FILTER (WHERE verdict = 'disallowed' AND action = 'forwarded') AS violations,
       count(*) FILTER (WHERE status BETWEEN 200 AND 299 AND response_bytes > 0 AND basis <> 'robots_txt')
           AS content_responses,
       CAST(coalesce(sum(response_bytes), 0) AS BIGINT) AS bytes,
       count(*) FILTER (WHERE basis = 'rule') AS by_rule,
       count(*) FILTER (WHERE basis = 'no_rule') AS by_no_rule,
       count(*) FILTER (WHERE basis = 'no_group') AS by_no_group,
       count(*) FILTER (WHERE basis = 'unavailable') AS by_unavailable,
       count(*) FILTER (WHERE basis = 'unreachable') AS by_unreachable,
       count(*) FILTER (WHERE basis = 'robots_txt') AS by_robots_txt,
       count(*) FILTER (WHERE basis = 'signal') AS by_signal,
       count(*) FILTER (WHERE basis = 'crawl_delay') AS by_crawl_delay,
       count(*) FILTER (WHERE basis = 'exemption') AS by_exemption,
       count(*) FILTER (WHERE basis = 'error') AS by_other,
       count(*) FILTER (WHERE asked_ms > 0) AS pace_asked,
       count(*) FILTER (WHERE since_previous_ms < asked_ms) AS faster_than_asked,
       min(since_previous_ms) FILTER (WHERE asked_ms > 0) AS shortest_interval_ms,
       quantile_disc(since_previous_ms, 0.5) FILTER (WHERE asked_ms > 0) AS median_interval_ms,
       count(*) FILTER (WHERE held_ms > 0) AS held,
       min(recorded_at) AS first_at,
       max(recorded_at) AS last_at
FROM (
    -- the pace asked of requests that were made; greatest() looks past NULL
    SELECT *, CASE WHEN action = 'forwarded' THEN greatest(crawl_delay_ms, request_interval_ms) END AS asked_ms
    FROM exchange
)
WHERE ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
GROUP BY site ORDER BY site;
