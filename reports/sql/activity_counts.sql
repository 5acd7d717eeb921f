-- Per crawler, how often each basis decided, and how often each User-Agent was sent: the $most sent ones.
WITH inside AS (
    SELECT crawler, user_agent, basis FROM decision
    WHERE ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
), agents AS (
    SELECT crawler, user_agent, count(*) AS count FROM inside GROUP BY crawler, user_agent
    QUALIFY row_number() OVER (PARTITION BY crawler ORDER BY count(*) DESC, user_agent) <= $most::BIGINT
)
SELECT crawler, 'user_agent' AS what, user_agent AS value, count FROM agents
UNION ALL SELECT crawler, 'basis', basis, count(*) FROM inside GROUP BY ALL
ORDER BY crawler, what, count DESC, value;
