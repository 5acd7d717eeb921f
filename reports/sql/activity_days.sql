-- Per crawler and day (UTC): what was decided and done.
SELECT crawler, CAST(recorded_at AS DATE) AS day,
       count(*) FILTER (WHERE verdict = 'allowed' AND action = 'forwarded') AS allowed,
       count(*) FILTER (WHERE verdict = 'disallowed' AND action = 'denied') AS denied,
       count(*) FILTER (WHERE verdict = 'disallowed' AND action = 'forwarded') AS violations,
       count(*) FILTER (WHERE verdict = 'allowed' AND action = 'denied') AS allowed_and_denied
FROM decision
WHERE ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
GROUP BY ALL ORDER BY crawler, day;
