-- Requests that left before their record was durable (fail_open) in the period, and how many of these were kept.
SELECT count(*) AS gap_records,
       CAST(coalesce(sum(requests), 0) AS BIGINT) AS requests, CAST(coalesce(sum(kept), 0) AS BIGINT) AS kept,
       min(first_at) AS first_at, max(last_at) AS last_at
FROM gap
WHERE ($start::TIMESTAMP IS NULL OR last_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR first_at < $end::TIMESTAMP);
