-- Decisions on one URL, the latest first; how many there are stands in each row.
SELECT *, count(*) OVER () AS found
FROM exchange
WHERE host = $host AND list_contains($targets::VARCHAR[], target)
  AND ($scheme::VARCHAR IS NULL OR scheme = $scheme::VARCHAR)
  AND ($port::BIGINT IS NULL OR port = $port::BIGINT)
ORDER BY recorded_at DESC, log DESC, seq DESC
LIMIT 1;
