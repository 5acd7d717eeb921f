-- Per site: answers with content that were received, and of these the ones whose body or address a manifest holds.
-- Digests are compared by their first 128 bits, addresses by those of their SHA-256: half the memory, as sure.
WITH collected AS (
    SELECT site,
           TRY_CAST('0x' || left(CASE $by::VARCHAR WHEN 'url' THEN sha256(url) ELSE body_sha256 END, 32) AS UHUGEINT)
               AS value
    FROM exchange
    -- content: a 2xx answer of which at least one octet came, robots.txt itself not counted
    WHERE status BETWEEN 200 AND 299 AND response_bytes > 0 AND basis <> 'robots_txt'
      AND ($site::VARCHAR IS NULL OR site = $site::VARCHAR)
      AND ($site::VARCHAR IS NOT NULL OR $host::VARCHAR IS NULL OR host = $host::VARCHAR
           OR ($subdomains::BOOLEAN AND ends_with(host, '.' || $host::VARCHAR)))
      AND ($scheme::VARCHAR IS NULL OR scheme = $scheme::VARCHAR)
      AND ($port::BIGINT IS NULL OR port = $port::BIGINT)
      AND ($targets::VARCHAR[] IS NULL OR list_contains($targets::VARCHAR[], target))
      AND ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
      AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
),
kept AS (SELECT DISTINCT value FROM manifest WHERE value IN (SELECT value FROM collected WHERE value IS NOT NULL)),
counted AS (SELECT site, value, count(*) AS answers FROM collected GROUP BY site, value)
SELECT c.site,
       CAST(sum(c.answers) AS BIGINT) AS collected,
       CAST(coalesce(sum(c.answers) FILTER (WHERE k.value IS NOT NULL), 0) AS BIGINT) AS kept,
       CAST(coalesce(sum(c.answers) FILTER (WHERE c.value IS NULL), 0) AS BIGINT) AS not_comparable,
       count(c.value) AS distinct_values,
       count(k.value) AS distinct_kept
FROM counted AS c LEFT JOIN kept AS k ON k.value = c.value
GROUP BY c.site ORDER BY c.site;
