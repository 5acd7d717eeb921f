-- Per crawler, the most requests that were forwarded to one host within one second of the clock, robots.txt left out.
SELECT crawler, max(requests) AS requests
FROM (
    SELECT crawler, host, second, count(*) AS requests
    FROM (
        -- millions of groups: 64 bits of each host's hash tell hosts apart as well, and take half the memory
        SELECT crawler, hash(host) AS host, epoch_us(recorded_at) // 1000000 AS second FROM decision
        WHERE action = 'forwarded' AND basis <> 'robots_txt'
          AND ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
          AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
    )
    GROUP BY ALL
)
GROUP BY crawler ORDER BY crawler;
