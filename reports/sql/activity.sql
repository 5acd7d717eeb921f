-- One row per crawler: what it asked for in the period, and what was decided.
WITH inside AS NOT MATERIALIZED (
    -- the pace asked of requests that were made; greatest() looks past NULL
    SELECT *, CASE WHEN action = 'forwarded' THEN greatest(crawl_delay_ms, request_interval_ms) END AS asked_ms
    FROM decision
    WHERE ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
      AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
), named AS (
    -- of millions of requests few differ in this
    SELECT crawler, list_sort(list(DISTINCT product_token)) AS product_tokens,
           count(DISTINCT site) AS sites, count(DISTINCT host) AS hosts,
           count(DISTINCT user_agent) AS user_agents_seen, list_sort(list(DISTINCT mode)) AS modes
    FROM (SELECT DISTINCT crawler, product_token, site, host, user_agent, mode FROM inside)
    GROUP BY crawler
), counted AS (
    SELECT crawler,
           count(*) AS requests,
           count(*) FILTER (WHERE action = 'forwarded') AS forwarded,
           count(*) FILTER (WHERE action = 'denied') AS denied,
           count(*) FILTER (WHERE verdict = 'disallowed') AS disallowed,
           count(*) FILTER (WHERE verdict = 'disallowed' AND action = 'denied') AS disallowed_denied,
           count(*) FILTER (WHERE verdict = 'disallowed' AND action = 'forwarded') AS violations,
           count(*) FILTER (WHERE token_in_user_agent) AS token_in_user_agent,
           count(*) FILTER (WHERE basis NOT IN ('robots_txt', 'error')) AS evaluated,
           count(*) FILTER (WHERE basis = 'error') AS not_evaluated,
           count(*) FILTER (WHERE divergent) AS divergent,
           max(robots_age_ms) AS age_max_ms,
           count(*) FILTER (WHERE robots_age_ms > 86400000) AS older_than_24_h, -- RFC 9309 2.4
           count(*) FILTER (WHERE asked_ms > 0) AS pace_asked,
           count(*) FILTER (WHERE asked_ms > 0 AND since_previous_ms IS NOT NULL) AS pace_known,
           count(*) FILTER (WHERE since_previous_ms < asked_ms) AS faster_than_asked,
           min(since_previous_ms) FILTER (WHERE asked_ms > 0) AS shortest_interval_ms,
           quantile_disc(since_previous_ms, 0.5) FILTER (WHERE asked_ms > 0) AS median_interval_ms,
           min(since_previous_ms) FILTER (WHERE action = 'forwarded') AS interval_min_ms,
           quantile_disc(since_previous_ms, [0.05, 0.5, 0.95]) FILTER (WHERE action = 'forwarded') AS intervals_ms,
           count(*) FILTER (WHERE held_ms > 0) AS held,
           min(recorded_at) FILTER (WHERE action = 'forwarded') AS collection_from,
           max(recorded_at) FILTER (WHERE action = 'forwarded') AS collection_to
    FROM inside GROUP BY crawler
)
SELECT counted.*, named.* EXCLUDE (crawler)
FROM counted JOIN named ON named.crawler = counted.crawler
ORDER BY counted.crawler;
