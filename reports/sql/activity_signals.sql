-- Per crawler and protocol, at how many sites a signal was found in robots.txt or in an answer.
WITH inside AS (
    SELECT log, exchange_id, snapshot_seq, crawler, site FROM decision
    WHERE ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
), found AS (
    SELECT DISTINCT log, exchange_id, snapshot_seq, protocol FROM signal
    WHERE protocol <> 'web-bot-auth' -- a field of the crawler's own request
), at_sites AS (
    SELECT DISTINCT i.crawler, i.site, f.protocol FROM inside AS i
    JOIN found AS f ON f.log = i.log AND f.exchange_id = i.exchange_id
    UNION
    SELECT DISTINCT i.crawler, i.site, f.protocol FROM inside AS i
    JOIN found AS f ON f.log = i.log AND f.snapshot_seq = i.snapshot_seq
)
SELECT crawler, protocol, count(*) AS sites FROM at_sites GROUP BY ALL ORDER BY crawler, protocol;
