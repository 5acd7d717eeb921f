-- The octets of the robots.txt copies with these digests.
SELECT robots_sha256, any_value(body) AS body
FROM robots_body
WHERE robots_sha256 IN (SELECT unnest($digests::VARCHAR[]))
GROUP BY robots_sha256
ORDER BY robots_sha256;
