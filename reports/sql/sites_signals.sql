-- Per site, the protocols of usage preferences found in robots.txt or in an answer; pacing wishes left out.
WITH inside AS (
    SELECT log, exchange_id, snapshot_seq, site FROM decision
    WHERE ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
), found AS (
    SELECT DISTINCT log, exchange_id, snapshot_seq, protocol FROM signal
    WHERE protocol NOT IN ('web-bot-auth', 'crawl-delay', 'request-rate', 'visit-time', 'retry-after')
), at_sites AS (
    SELECT i.site, f.protocol FROM inside AS i
    JOIN found AS f ON f.log = i.log AND f.exchange_id = i.exchange_id
    UNION
    SELECT i.site, f.protocol FROM inside AS i
    JOIN found AS f ON f.log = i.log AND f.snapshot_seq = i.snapshot_seq
)
SELECT site, list_sort(list(protocol)) AS protocols FROM at_sites GROUP BY site ORDER BY site;
