-- Access barriers in answers to requests of the period, and what was answered at the same URLs after the first of them.
WITH barred AS (
    SELECT d.scheme, d.host, d.port, d.target, d.site, d.recorded_at, c.barrier
    FROM completion AS c JOIN decision AS d ON d.log = c.log AND d.seq = c.decision_seq
    WHERE c.barrier IS NOT NULL
      AND ($start::TIMESTAMP IS NULL OR d.recorded_at >= $start::TIMESTAMP)
      AND ($end::TIMESTAMP IS NULL OR d.recorded_at < $end::TIMESTAMP)
),
first_barrier AS (
    SELECT barrier, scheme, host, port, target, min(recorded_at) AS barred_at FROM barred
    WHERE target IS NOT NULL GROUP BY ALL
),
-- requests for one of these URLs: found by a hash first, since the URLs of all requests would not fit into memory
hashes AS (SELECT list(DISTINCT hash(host, target)) AS listed FROM first_barrier),
same_url AS (
    SELECT log, seq, recorded_at, scheme, host, port, target FROM decision
    WHERE hash(host, target) IN (SELECT unnest(listed) FROM hashes)
      AND action = 'forwarded' AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
),
later AS (
    SELECT f.barrier, f.scheme, f.host, f.port, f.target, d.log, d.seq
    FROM same_url AS d JOIN first_barrier AS f
      ON d.target = f.target AND d.host = f.host AND d.port = f.port AND d.scheme = f.scheme
    WHERE d.recorded_at > f.barred_at
),
answered AS (
    SELECT l.barrier, count(*) AS later_2xx, count(DISTINCT (l.scheme, l.host, l.port, l.target)) AS later_2xx_urls
    FROM later AS l JOIN completion AS c ON c.log = l.log AND c.decision_seq = l.seq
    WHERE c.status BETWEEN 200 AND 299 AND c.barrier IS NULL
    GROUP BY l.barrier
)
SELECT b.barrier, count(*) AS answers, count(DISTINCT b.site) AS sites,
       coalesce(any_value(a.later_2xx), 0) AS later_2xx, coalesce(any_value(a.later_2xx_urls), 0) AS later_2xx_urls
FROM barred AS b LEFT JOIN answered AS a ON a.barrier = b.barrier
GROUP BY b.barrier ORDER BY b.barrier;
