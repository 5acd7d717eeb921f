-- Per crawler, how its forwarded requests ended: each combination of outcome, status, barrier and kind of content.
SELECT d.crawler, c.outcome, c.status, c.barrier, c.modality,
       -- content: a 2xx answer with at least one octet that is not a robots.txt
       coalesce(c.status BETWEEN 200 AND 299 AND c.response_bytes > 0 AND d.basis <> 'robots_txt', false) AS content,
       count(*) AS answers,
       count(*) FILTER (WHERE d.action = 'forwarded') AS completed,
       CAST(coalesce(sum(c.response_bytes), 0) AS BIGINT) AS octets,
       max(d.recorded_at) AS last_at
FROM completion AS c JOIN decision AS d ON d.log = c.log AND d.seq = c.decision_seq
WHERE ($start::TIMESTAMP IS NULL OR d.recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR d.recorded_at < $end::TIMESTAMP)
GROUP BY ALL ORDER BY ALL;
