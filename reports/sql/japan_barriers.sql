-- Per crawler, how often answers showed each access barrier, and how often they asked to slow down (429, 503).
WITH shown AS (SELECT log, decision_seq, barrier, status FROM completion WHERE barrier IS NOT NULL OR status = 503)
SELECT d.crawler, s.barrier, s.status IN (429, 503) AS slow_down, count(*) AS count
FROM shown AS s JOIN decision AS d ON d.log = s.log AND d.seq = s.decision_seq
WHERE ($start::TIMESTAMP IS NULL OR d.recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR d.recorded_at < $end::TIMESTAMP)
GROUP BY ALL ORDER BY d.crawler, s.barrier, slow_down;
