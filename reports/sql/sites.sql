-- One row per site (registrable domain): what was asked of it in the period, and on what the verdicts rest.
WITH inside AS (
    -- the pace asked of requests that were made; greatest() looks past NULL
    SELECT *, CASE WHEN action = 'forwarded' THEN greatest(crawl_delay_ms, request_interval_ms) END AS asked_ms
    FROM decision
    WHERE ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
      AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
), parts AS (
    SELECT site, host, crawler, robots_sha256,
           count(*) AS requests,
           count(*) FILTER (WHERE action = 'forwarded') AS forwarded,
           count(*) FILTER (WHERE verdict = 'disallowed') AS disallowed,
           count(*) FILTER (WHERE verdict = 'disallowed' AND action = 'forwarded') AS violations,
           count(*) FILTER (WHERE held_ms > 0) AS held,
           min(recorded_at) AS first_at,
           max(recorded_at) AS last_at
    FROM inside GROUP BY site, host, crawler, robots_sha256
), asked AS (
    SELECT site,
           count(DISTINCT host) AS hosts,
           list_sort(list(DISTINCT crawler)) AS crawlers,
           CAST(sum(requests) AS BIGINT) AS requests,
           CAST(sum(forwarded) AS BIGINT) AS forwarded,
           CAST(sum(requests) - sum(forwarded) AS BIGINT) AS denied,
           CAST(sum(disallowed) AS BIGINT) AS disallowed,
           CAST(sum(violations) AS BIGINT) AS violations,
           count(DISTINCT robots_sha256) AS robots_copies,
           CAST(sum(held) AS BIGINT) AS held,
           min(first_at) AS first_at,
           max(last_at) AS last_at
    FROM parts GROUP BY site
), based AS (
    SELECT site, map_from_entries(list((basis, requests) ORDER BY basis)) AS by_basis
    FROM (SELECT site, basis, count(*) AS requests FROM inside GROUP BY site, basis) GROUP BY site
), paced AS (
    SELECT site,
           count(*) AS pace_asked,
           count(*) FILTER (WHERE since_previous_ms < asked_ms) AS faster_than_asked,
           min(since_previous_ms) AS shortest_interval_ms,
           quantile_disc(since_previous_ms, 0.5) AS median_interval_ms
    FROM inside WHERE asked_ms > 0 GROUP BY site
)
SELECT asked.*, based.by_basis,
       coalesce(paced.pace_asked, 0) AS pace_asked,
       coalesce(paced.faster_than_asked, 0) AS faster_than_asked,
       paced.shortest_interval_ms, paced.median_interval_ms
FROM asked JOIN based ON based.site = asked.site LEFT JOIN paced ON paced.site = asked.site
ORDER BY asked.site;
