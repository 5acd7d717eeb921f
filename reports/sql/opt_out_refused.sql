-- Requests that a usage preference refused by the operator's policy (basis `signal`), by the protocol that refused them.
SELECT split_part(detail, ' ', 1) AS protocol,
       count(*) FILTER (WHERE action = 'forwarded') AS forwarded,
       count(*) FILTER (WHERE action = 'denied') AS denied
FROM decision
WHERE basis = 'signal'
  AND ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
GROUP BY ALL ORDER BY ALL;
