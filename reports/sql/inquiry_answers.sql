-- How the matched requests ended: what came back, and how many have no end on record.
-- Logs by hashes of their long names (no two share one), and of millions of completions only those with the number of
-- a matched decision in some log: both take less time and memory than the names.
WITH matched AS MATERIALIZED (
    SELECT hash(log) AS log, seq, basis = 'robots_txt' AS is_robots_txt, action = 'forwarded' AS is_forwarded
    FROM decision
    WHERE ($site::VARCHAR IS NULL OR site = $site::VARCHAR)
      AND ($site::VARCHAR IS NOT NULL OR host = $host::VARCHAR
           OR ($subdomains::BOOLEAN AND ends_with(host, '.' || $host::VARCHAR)))
      AND ($scheme::VARCHAR IS NULL OR scheme = $scheme::VARCHAR)
      AND ($port::BIGINT IS NULL OR port = $port::BIGINT)
      AND ($targets::VARCHAR[] IS NULL OR list_contains($targets::VARCHAR[], target))
      AND ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
      AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
),
ended AS (
    SELECT hash(log) AS log, decision_seq, outcome, status, response_bytes FROM completion
    WHERE decision_seq IN (SELECT seq FROM matched)
)
SELECT -- content: a 2xx answer of which at least one octet came, robots.txt itself not counted
       count(*) FILTER (WHERE status BETWEEN 200 AND 299 AND response_bytes > 0 AND NOT is_robots_txt)
           AS content_responses,
       CAST(coalesce(sum(response_bytes), 0) AS BIGINT) AS bytes,
       count(*) FILTER (WHERE is_forwarded AND outcome IS NULL) AS without_completion
FROM matched AS m LEFT JOIN ended AS c ON c.log = m.log AND c.decision_seq = m.seq;
