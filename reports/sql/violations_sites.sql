-- The sites (registrable domains) with violations, the most first, and how many there are in all.
WITH asked AS (
    SELECT site, verdict, action FROM decision
    WHERE ($site::VARCHAR IS NULL OR site = $site::VARCHAR)
      AND ($site::VARCHAR IS NOT NULL OR $host::VARCHAR IS NULL OR host = $host::VARCHAR
           OR ($subdomains::BOOLEAN AND ends_with(host, '.' || $host::VARCHAR)))
      AND ($scheme::VARCHAR IS NULL OR scheme = $scheme::VARCHAR)
      AND ($port::BIGINT IS NULL OR port = $port::BIGINT)
      AND ($targets::VARCHAR[] IS NULL OR list_contains($targets::VARCHAR[], target))
      AND ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
      AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
)
SELECT site,
       count(*) FILTER (WHERE action = 'forwarded') AS forwarded,
       count(*) FILTER (WHERE verdict = 'disallowed') AS disallowed,
       count(*) FILTER (WHERE verdict = 'disallowed' AND action = 'forwarded') AS violations,
       count(*) OVER () AS sites
FROM asked GROUP BY site HAVING violations > 0 ORDER BY violations DESC, site LIMIT $rows_max;
