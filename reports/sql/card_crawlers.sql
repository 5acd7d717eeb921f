-- The crawlers with a request in the period, and the product tokens they were judged by.
SELECT crawler, list_sort(list_distinct(list(product_token))) AS product_tokens
FROM decision
WHERE ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
GROUP BY crawler ORDER BY crawler;
