-- Per crawler, the most requests that were forwarded to one host within one second of the clock, robots.txt left out.
SELECT crawler, max(requests) AS requests
FROM (
    SELECT crawler, host, CAST(floor(epoch(recorded_at)) AS BIGINT) AS second, count(*) AS requests
    FROM decision
    WHERE action = 'forwarded' AND basis <> 'robots_txt'
      AND ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
      AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
    GROUP BY ALL
)
GROUP BY crawler ORDER BY crawler;
