-- Per crawler, how its forwarded requests ended: each combination of outcome, status, barrier and kind of content.
-- Names of logs are long: a join of ten million rows by their hashes takes half the memory (no two logs share one).
WITH ended AS (
    SELECT hash(log) AS log, decision_seq, outcome, status, barrier, modality, response_bytes FROM completion
), asked AS (
    SELECT hash(log) AS log, seq, recorded_at, crawler, basis = 'robots_txt' AS is_robots_txt,
           action = 'forwarded' AS is_forwarded
    FROM decision
    WHERE ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
      AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
)
SELECT d.crawler, c.outcome, c.status, c.barrier, c.modality,
       -- content: a 2xx answer with at least one octet that is not a robots.txt
       coalesce(c.status BETWEEN 200 AND 299 AND c.response_bytes > 0 AND NOT d.is_robots_txt, false) AS content,
       count(*) AS answers,
       count(*) FILTER (WHERE d.is_forwarded) AS completed,
       CAST(coalesce(sum(c.response_bytes), 0) AS BIGINT) AS octets,
       max(d.recorded_at) AS last_at
FROM ended AS c JOIN asked AS d ON d.log = c.log AND d.seq = c.decision_seq
GROUP BY ALL ORDER BY ALL;
