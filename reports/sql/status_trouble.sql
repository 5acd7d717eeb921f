-- What an operator asks first: incidents by their word with the last of each, and when somebody outside last saw a log.
SELECT 'incident' AS what, incident AS word, count(*) AS times, max(recorded_at) AS last_at FROM incident GROUP BY ALL
UNION ALL
SELECT 'anchor', method || ': ' || authority, count(*), max(coalesce(stated_at, recorded_at)) FROM anchor GROUP BY ALL
UNION ALL
SELECT 'gap', cause, CAST(sum(requests) AS BIGINT), max(last_at) FROM gap GROUP BY ALL
ORDER BY what, word;
