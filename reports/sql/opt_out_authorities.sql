-- The authorities (scheme, host, port) asked in the period, by what their last robots.txt fetched in it was.
WITH asked AS (
    SELECT DISTINCT scheme, host, port FROM decision
    WHERE ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
      AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
),
last_copy AS (
    SELECT scheme, host, port, max_by({'outcome': outcome, 'answered': error IS NULL}, (recorded_at, log, seq)) AS copy
    FROM snapshot
    -- that a crawler could not reach it says nothing about the site
    WHERE NOT (source = 'observed' AND outcome = 'unreachable')
      AND ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
      AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
    GROUP BY scheme, host, port
)
SELECT CASE WHEN c.copy IS NULL THEN 'never_fetched'
            WHEN c.copy.outcome = 'successful' THEN 'with_robots'
            WHEN c.copy.outcome = 'unavailable' THEN 'unavailable'
            WHEN c.copy.answered THEN 'unreachable_status'
            ELSE 'unreachable_network' END AS state,
       count(*) AS authorities
FROM asked AS a LEFT JOIN last_copy AS c ON c.scheme = a.scheme AND c.host = a.host AND c.port = a.port
GROUP BY ALL ORDER BY ALL;
