-- Requests and violations (disallowed and forwarded nevertheless) by crawler, mode, basis and day.
WITH asked AS (
    SELECT recorded_at, crawler, mode, basis, verdict, action FROM decision
    WHERE ($site::VARCHAR IS NULL OR site = $site::VARCHAR)
      AND ($site::VARCHAR IS NOT NULL OR $host::VARCHAR IS NULL OR host = $host::VARCHAR
           OR ($subdomains::BOOLEAN AND ends_with(host, '.' || $host::VARCHAR)))
      AND ($scheme::VARCHAR IS NULL OR scheme = $scheme::VARCHAR)
      AND ($port::BIGINT IS NULL OR port = $port::BIGINT)
      AND ($targets::VARCHAR[] IS NULL OR list_contains($targets::VARCHAR[], target))
      AND ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
      AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
)
SELECT crawler, mode, basis, CAST(CAST(recorded_at AS DATE) AS VARCHAR) AS day,
       count(*) AS requests,
       count(*) FILTER (WHERE action = 'forwarded') AS forwarded,
       count(*) FILTER (WHERE verdict = 'disallowed') AS disallowed,
       count(*) FILTER (WHERE verdict = 'disallowed' AND action = 'forwarded') AS violations
FROM asked GROUP BY ALL ORDER BY ALL;
