-- Per site: answers with content that were received, and of these the ones whose body or address a manifest holds.
-- Digests are compared by their first 128 bits, addresses by those of their SHA-256: half the memory, as sure.
-- Joined by hashes of the logs' long names, which takes half the memory (no two logs share one).
-- Content: a 2xx answer of which at least one octet came, robots.txt itself not counted.
WITH ended AS (
    SELECT hash(log) AS log, decision_seq, TRY_CAST('0x' || left(body_sha256, 32) AS UHUGEINT) AS body
    FROM completion WHERE status BETWEEN 200 AND 299 AND response_bytes > 0
),
asked AS (
    SELECT hash(log) AS log, seq, site, url FROM decision
    WHERE ($site::VARCHAR IS NULL OR site = $site::VARCHAR)
      AND ($site::VARCHAR IS NOT NULL OR $host::VARCHAR IS NULL OR host = $host::VARCHAR
           OR ($subdomains::BOOLEAN AND ends_with(host, '.' || $host::VARCHAR)))
      AND ($scheme::VARCHAR IS NULL OR scheme = $scheme::VARCHAR)
      AND ($port::BIGINT IS NULL OR port = $port::BIGINT)
      AND ($targets::VARCHAR[] IS NULL OR list_contains($targets::VARCHAR[], target))
      AND ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
      AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
      AND basis <> 'robots_txt'
),
collected AS (
    SELECT a.site,
           CASE $by::VARCHAR WHEN 'url' THEN TRY_CAST('0x' || left(sha256(a.url), 32) AS UHUGEINT) ELSE c.body END AS value
    FROM ended AS c JOIN asked AS a ON a.log = c.log AND a.seq = c.decision_seq
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
