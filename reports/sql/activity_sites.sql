-- Per crawler, the $most sites that gave most content: 2xx answers with at least one octet, robots.txt left out.
SELECT d.crawler, d.site, count(*) AS content_responses, CAST(sum(c.response_bytes) AS BIGINT) AS content_bytes
FROM completion AS c JOIN decision AS d ON d.log = c.log AND d.seq = c.decision_seq
WHERE c.status BETWEEN 200 AND 299 AND c.response_bytes > 0 AND d.basis <> 'robots_txt'
  AND ($start::TIMESTAMP IS NULL OR d.recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR d.recorded_at < $end::TIMESTAMP)
GROUP BY d.crawler, d.site
QUALIFY row_number() OVER (PARTITION BY d.crawler ORDER BY sum(c.response_bytes) DESC, d.site) <= $most::BIGINT
ORDER BY d.crawler, content_bytes DESC, d.site;
