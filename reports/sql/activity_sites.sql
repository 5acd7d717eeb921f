-- Per crawler, the $most sites that gave most content: 2xx answers with at least one octet, robots.txt left out.
-- Joined by hashes of the logs' long names, which takes half the memory (no two logs share one).
WITH content AS (
    SELECT hash(log) AS log, decision_seq, response_bytes FROM completion
    WHERE status BETWEEN 200 AND 299 AND response_bytes > 0
), asked AS (
    SELECT hash(log) AS log, seq, crawler, site FROM decision
    WHERE basis <> 'robots_txt'
      AND ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
      AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
)
SELECT d.crawler, d.site, count(*) AS content_responses, CAST(sum(c.response_bytes) AS BIGINT) AS content_bytes
FROM content AS c JOIN asked AS d ON d.log = c.log AND d.seq = c.decision_seq
GROUP BY d.crawler, d.site
QUALIFY row_number() OVER (PARTITION BY d.crawler ORDER BY sum(c.response_bytes) DESC, d.site) <= $most::BIGINT
ORDER BY d.crawler, content_bytes DESC, d.site;
