-- Per crawler and protocol of usage preferences, at how many sites one was found in robots.txt or in an answer.
WITH inside AS NOT MATERIALIZED (
    SELECT log, exchange_id, snapshot_seq, crawler, site FROM decision
    WHERE ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
      AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
), found AS (
    SELECT log, exchange_id, snapshot_seq, protocol FROM signal
    WHERE NOT list_contains($no_preference::VARCHAR[], protocol) -- reports/reservations.py
), at_sites AS (
    SELECT DISTINCT i.crawler, i.site, f.protocol
    FROM (SELECT DISTINCT log, exchange_id, protocol FROM found WHERE exchange_id IS NOT NULL) AS f
    JOIN inside AS i ON i.log = f.log AND i.exchange_id = f.exchange_id
    UNION
    -- by hashes of the logs' long names, which takes half the memory (no two logs share one)
    SELECT DISTINCT i.crawler, i.site, f.protocol
    FROM (SELECT DISTINCT hash(log) AS log, snapshot_seq, protocol FROM found WHERE snapshot_seq IS NOT NULL) AS f
    JOIN (SELECT hash(log) AS log, snapshot_seq, crawler, site FROM inside) AS i
      ON i.log = f.log AND i.snapshot_seq = f.snapshot_seq
)
SELECT crawler, protocol, count(*) AS sites FROM at_sites GROUP BY ALL ORDER BY crawler, protocol;
