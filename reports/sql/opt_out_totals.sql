-- What was decided in the period, by why: the counts that an account of opt-outs rests on.
SELECT basis, mode, verdict, action, CAST(day AS VARCHAR) AS day, requests, over_24h, after_validity,
       protego_allows, protego_disallows, protego_silent
FROM (
    SELECT d.basis, d.mode, d.verdict, d.action, CAST(d.recorded_at AS DATE) AS day,
           count(*) AS requests,
           -- RFC 9309 2.4: a copy is not to be used for more than 24 hours, unless robots.txt is unreachable
           count(*) FILTER (WHERE d.robots_age_ms > 86400000 AND d.basis <> 'robots_txt') AS over_24h,
           count(*) FILTER (WHERE d.recorded_at >= s.valid_until AND d.basis <> 'robots_txt') AS after_validity,
           count(*) FILTER (WHERE d.divergent AND d.protego_verdict = 'allowed') AS protego_allows,
           count(*) FILTER (WHERE d.divergent AND d.protego_verdict = 'disallowed') AS protego_disallows,
           count(*) FILTER (WHERE d.divergent AND d.protego_verdict IS NULL) AS protego_silent
    FROM decision AS d LEFT JOIN snapshot AS s ON s.log = d.log AND s.seq = d.snapshot_seq
    WHERE ($start::TIMESTAMP IS NULL OR d.recorded_at >= $start::TIMESTAMP)
      AND ($end::TIMESTAMP IS NULL OR d.recorded_at < $end::TIMESTAMP)
    GROUP BY ALL
)
ORDER BY ALL;
