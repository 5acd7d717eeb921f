-- The requests a question is about, in numbers.
WITH matched AS (
    SELECT * FROM decision
    WHERE ($site::VARCHAR IS NULL OR site = $site::VARCHAR)
      AND ($site::VARCHAR IS NOT NULL OR host = $host::VARCHAR
           OR ($subdomains::BOOLEAN AND ends_with(host, '.' || $host::VARCHAR)))
      AND ($scheme::VARCHAR IS NULL OR scheme = $scheme::VARCHAR)
      AND ($port::BIGINT IS NULL OR port = $port::BIGINT)
      AND ($targets::VARCHAR[] IS NULL OR list_contains($targets::VARCHAR[], target))
      AND ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
      AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
),
-- looked for by their numbers first: of millions of completions, few have the number of a matched decision in some log
ended AS (
    SELECT log, decision_seq, outcome, status, response_bytes FROM completion
    WHERE decision_seq IN (SELECT seq FROM matched)
),
met AS (
    SELECT m.*, c.outcome, c.status, c.response_bytes
    FROM matched AS m LEFT JOIN ended AS c ON c.log = m.log AND c.decision_seq = m.seq
)
SELECT count(*) AS requests,
       count(*) FILTER (WHERE action = 'forwarded') AS forwarded,
       count(*) FILTER (WHERE action = 'denied') AS denied,
       count(*) FILTER (WHERE verdict = 'disallowed') AS disallowed,
       count(*) FILTER (WHERE action = 'forwarded' AND verdict = 'disallowed') AS violations,
       count(*) FILTER (WHERE action = 'forwarded' AND basis = 'robots_txt') AS robots_txt_requests,
       -- content: a 2xx answer of which at least one octet came, robots.txt itself not counted
       count(*) FILTER (WHERE status BETWEEN 200 AND 299 AND response_bytes > 0 AND basis <> 'robots_txt')
           AS content_responses,
       CAST(coalesce(sum(response_bytes), 0) AS BIGINT) AS bytes,
       count(*) FILTER (WHERE action = 'forwarded' AND outcome IS NULL) AS without_completion,
       count(*) FILTER (WHERE target IS NULL) AS without_target,
       min(recorded_at) AS first_at,
       max(recorded_at) AS last_at
FROM met;
