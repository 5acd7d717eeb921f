-- Connections in the period that were not plain requests. CONNECT is how every https request begins and is left out
-- where it was opened: the requests inside it are decisions of their own.
SELECT protocol, outcome, count(*) AS count
FROM tunnel
WHERE ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
  AND NOT (protocol = 'connect' AND outcome = 'opened')
GROUP BY protocol, outcome ORDER BY protocol, outcome;
