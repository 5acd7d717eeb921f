-- How the robots.txt of these hosts changed up to a date: one row for each copy that differs from the one before it.
WITH taken AS (
    SELECT scheme, host, port, recorded_at, outcome, robots_sha256, log, seq,
           lag(outcome) OVER w AS outcome_before, lag(robots_sha256) OVER w AS copy_before
    FROM snapshot
    WHERE host IN (SELECT unnest($hosts::VARCHAR[]))
      AND ($as_of::TIMESTAMP IS NULL OR recorded_at < $as_of::TIMESTAMP)
      AND NOT (source = 'observed' AND outcome = 'unreachable')
    WINDOW w AS (PARTITION BY scheme, host, port ORDER BY recorded_at, log, seq)
)
SELECT scheme, host, port, recorded_at, outcome, robots_sha256
FROM taken
WHERE outcome_before IS DISTINCT FROM outcome OR copy_before IS DISTINCT FROM robots_sha256
ORDER BY scheme, host, port, recorded_at, log, seq;
