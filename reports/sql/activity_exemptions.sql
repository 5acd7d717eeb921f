-- Which declared exemptions covered requests, and how many of these the site disallows.
SELECT crawler, exemption, log, count(*) AS covered, count(*) FILTER (WHERE basis = 'exemption') AS applied
FROM exchange
WHERE exemption IS NOT NULL
  AND ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
GROUP BY ALL ORDER BY crawler, exemption, log;
