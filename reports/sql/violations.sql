-- The violations one by one, the oldest first: what was asked, which rule of which robots.txt disallows it, how it ended.
WITH asked AS (
    SELECT * FROM decision
    WHERE ($site::VARCHAR IS NULL OR site = $site::VARCHAR)
      AND ($site::VARCHAR IS NOT NULL OR $host::VARCHAR IS NULL OR host = $host::VARCHAR
           OR ($subdomains::BOOLEAN AND ends_with(host, '.' || $host::VARCHAR)))
      AND ($scheme::VARCHAR IS NULL OR scheme = $scheme::VARCHAR)
      AND ($port::BIGINT IS NULL OR port = $port::BIGINT)
      AND ($targets::VARCHAR[] IS NULL OR list_contains($targets::VARCHAR[], target))
      AND ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
      AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
      AND verdict = 'disallowed' AND action = 'forwarded'
),
listed AS (SELECT log, seq FROM asked ORDER BY recorded_at, log, seq LIMIT $rows_max)
SELECT d.recorded_at, d.crawler, d.product_token, d.mode, d.method, d.url, d.site, d.basis, d.rule, d.rule_line, d.detail,
       d.robots_sha256, d.log, d.seq, d.snapshot_seq, d.exchange_id,
       c.outcome, c.status, c.response_bytes AS bytes
FROM listed AS l JOIN decision AS d ON d.log = l.log AND d.seq = l.seq
LEFT JOIN completion AS c ON c.log = l.log AND c.decision_seq = l.seq
ORDER BY d.recorded_at, d.log, d.seq;
