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
       count(*) FILTER (WHERE basis IN ('error', 'exemption')) AS by_other,
       min(recorded_at) AS first_at,
       max(recorded_at) AS last_at
FROM exchange
WHERE ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
GROUP BY site ORDER BY site;
