-- Time in the period in which a running sidecar sealed nothing for longer than two minutes; idle, it seals every minute.
WITH marks AS (
    SELECT log, recorded_at FROM seal
    UNION ALL SELECT log, recorded_at FROM run WHERE event IN ('start', 'stop')
), stretches AS (
    SELECT log, lag(recorded_at) OVER (PARTITION BY log ORDER BY recorded_at) AS begins_at, recorded_at AS ends_at
    FROM marks
), silent AS (
    SELECT log, greatest(begins_at, coalesce($start::TIMESTAMP, begins_at)) AS begins_at,
           least(ends_at, coalesce($end::TIMESTAMP, ends_at)) AS ends_at
    FROM stretches WHERE ends_at > begins_at + INTERVAL 2 MINUTE
)
SELECT log, begins_at, ends_at, CAST(epoch_us(ends_at) - epoch_us(begins_at) AS BIGINT) // 60000000 AS minutes
FROM silent WHERE ends_at > begins_at + INTERVAL 2 MINUTE
ORDER BY begins_at, log;
