-- Per crawler, its last request of all in the log, and whether the sidecar that took it has said that it stopped.
WITH latest AS (
    SELECT crawler, max(last_at) AS last_at, arg_max(log, (last_at, log)) AS log
    FROM (SELECT crawler, log, max(recorded_at) AS last_at FROM decision GROUP BY crawler, log)
    GROUP BY crawler
)
SELECT crawler, last_at, EXISTS (SELECT 1 FROM run WHERE run.log = latest.log AND run.event = 'stop') AS stopped
FROM latest ORDER BY crawler;
