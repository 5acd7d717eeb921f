-- Per site, the content that the named crawlers received: 2xx answers with at least one octet, robots.txt left out.
SELECT d.site, count(*) AS content_responses, CAST(sum(c.response_bytes) AS BIGINT) AS content_bytes
FROM completion AS c JOIN decision AS d ON d.log = c.log AND d.seq = c.decision_seq
WHERE c.status BETWEEN 200 AND 299 AND c.response_bytes > 0 AND d.basis <> 'robots_txt'
  AND list_contains($crawlers::VARCHAR[], d.crawler)
  AND ($start::TIMESTAMP IS NULL OR d.recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR d.recorded_at < $end::TIMESTAMP)
GROUP BY d.site ORDER BY content_bytes DESC, d.site;
