-- Usage preferences recorded in the period, by protocol; wishes about pace and crawlers' own signatures are left out.
SELECT protocol, count(*) AS found, min(recorded_at) AS first_at, max(recorded_at) AS last_at
FROM signal
WHERE NOT list_contains($no_preference::VARCHAR[], protocol) -- reports/reservations.py
  AND ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
GROUP BY protocol ORDER BY protocol;
