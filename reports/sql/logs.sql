-- One row per log (one start of one sidecar): how long it ran, how many records it has, which seq range.
-- `files.extent` says for each file (one kind of one segment of one log) how many records it has, and from which to which.
WITH counted AS (
    SELECT log, CAST(sum(records) AS BIGINT) AS records, min(first_seq) AS first_seq, max(last_seq) AS last_seq,
           min(first_at) AS first_at, max(last_at) AS last_at
    FROM files.extent GROUP BY log
), ran AS (
    SELECT log, max(node) AS node, list_sort(list_distinct(list(mode))) AS modes,
           min(recorded_at) FILTER (WHERE event = 'start') AS started_at,
           max(recorded_at) FILTER (WHERE event = 'stop') AS stopped_at,
           max(reason) FILTER (WHERE event = 'stop') AS stop_reason,
           bool_or(event IN ('custody', 'fleet')) AS custodian
    FROM run GROUP BY log
), sealed AS (
    SELECT log, count(*) AS seals, max(recorded_at) AS last_seal_at, max(dropped) AS dropped
    FROM seal GROUP BY log
)
SELECT counted.*, ran.node, coalesce(ran.modes, []) AS modes, ran.started_at, ran.stopped_at, ran.stop_reason,
       coalesce(ran.custodian, false) AS custodian, -- a log that only speaks of other logs
       coalesce(sealed.seals, 0) AS seals, sealed.last_seal_at, coalesce(sealed.dropped, 0) AS dropped
FROM counted LEFT JOIN ran ON ran.log = counted.log LEFT JOIN sealed ON sealed.log = counted.log
ORDER BY counted.first_at, counted.log;
