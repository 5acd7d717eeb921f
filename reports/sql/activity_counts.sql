-- Per crawler, how often each User-Agent was sent, each basis decided, and each modality came back.
WITH inside AS (
    SELECT crawler, user_agent, basis, modality FROM exchange
    WHERE ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
)
SELECT crawler, 'user_agent' AS what, user_agent AS value, count(*) AS count FROM inside GROUP BY ALL
UNION ALL SELECT crawler, 'basis', basis, count(*) FROM inside GROUP BY ALL
UNION ALL SELECT crawler, 'modality', modality, count(*) FROM inside WHERE modality IS NOT NULL GROUP BY ALL
ORDER BY crawler, what, count DESC, value;
