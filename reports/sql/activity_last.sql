-- Per crawler, its last request of all in the log, and whether the sidecar that took it has said that it stopped.
WITH latest AS (
    SELECT crawler, max(recorded_at) AS last_at, arg_max(log, (recorded_at, log)) AS log FROM decision GROUP BY crawler
)
SELECT crawler, last_at, EXISTS (SELECT 1 FROM run WHERE run.log = latest.log AND run.event = 'stop') AS stopped
FROM latest ORDER BY crawler;
