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
       list_sort(list_distinct(list(mode))) AS modes,
       min(recorded_at) FILTER (WHERE action = 'forwarded') AS collection_from,
       max(recorded_at) FILTER (WHERE action = 'forwarded') AS collection_to
FROM exchange
WHERE ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
GROUP BY crawler ORDER BY crawler;
