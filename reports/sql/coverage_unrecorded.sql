-- Every stretch of the period in which requests left before their record was durable (fail_open).
SELECT log, seq, recorded_at, cause, first_at, last_at, requests, kept
FROM gap
WHERE ($start::TIMESTAMP IS NULL OR last_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR first_at < $end::TIMESTAMP)
ORDER BY first_at, log, seq;
