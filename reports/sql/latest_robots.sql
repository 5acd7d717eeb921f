-- The last robots.txt on record of each scheme, host and port, with its octets where there was an answer with some.
SELECT s.scheme, s.host, s.port, s.recorded_at, s.outcome, s.robots_sha256, any_value(b.body) AS body
FROM snapshot AS s LEFT JOIN robots_body AS b ON b.robots_sha256 = s.robots_sha256
WHERE s.host = $host::VARCHAR AND s.port = $port::BIGINT AND s.scheme = $scheme::VARCHAR
GROUP BY ALL
ORDER BY s.recorded_at DESC
LIMIT 1;
