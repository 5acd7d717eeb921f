-- The crawlers of a log: the product tokens they were judged by, and the User-Agents each sent most often.
WITH counted AS (
    SELECT crawler, product_token, user_agent, count(*) AS requests FROM decision GROUP BY ALL
),
tokens AS (
    SELECT crawler, list_sort(list_distinct(list(product_token))) AS product_tokens, sum(requests)::BIGINT AS requests
    FROM counted GROUP BY crawler
),
agents AS (
    SELECT crawler, user_agent, sum(requests)::BIGINT AS requests,
           row_number() OVER (PARTITION BY crawler ORDER BY sum(requests) DESC, user_agent) AS place
    FROM counted WHERE user_agent IS NOT NULL GROUP BY crawler, user_agent
)
SELECT t.crawler, t.product_tokens, t.requests,
       list(a.user_agent ORDER BY a.place) FILTER (WHERE a.place <= 5) AS user_agents,
       count(a.user_agent) AS user_agent_count
FROM tokens AS t LEFT JOIN agents AS a ON a.crawler = t.crawler
GROUP BY t.crawler, t.product_tokens, t.requests ORDER BY t.crawler LIMIT 2000;
