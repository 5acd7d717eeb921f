-- What sites refuse and what was requested of them since: per protocol and use (`what` = protocol), and site by site.
-- What a reading refuses is the table of reports/reservations.py, given as $protocols, $uses and $words.
WITH meaning AS (
    SELECT unnest($protocols::VARCHAR[]) AS protocol, unnest($uses::VARCHAR[]) AS use, unnest($words::VARCHAR[]) AS word
),
reading AS (
    SELECT DISTINCT r.protocol, r.value, m.use
    FROM (SELECT DISTINCT protocol, value FROM signal) AS r JOIN meaning AS m ON m.protocol = r.protocol
    WHERE list_contains(string_split(replace(r.value, '; ', ', '), ', '), m.word)
),
addressee AS (
    SELECT list(DISTINCT lower(token)) AS tokens
    FROM (SELECT unnest(string_split(product_token, ', ')) AS token FROM (SELECT DISTINCT product_token FROM decision))
),
-- every scheme, host and port asked, under a number
authority AS MATERIALIZED (
    SELECT scheme, host, port, min(site) AS site, row_number() OVER (ORDER BY scheme, host, port) AS authority
    FROM decision GROUP BY scheme, host, port
),
-- in a robots.txt or the tdmrep.json beside it, and in answers
found AS (
    SELECT s.protocol, s.value, s.scope, s.recorded_at, 'robots' AS place, p.scheme, p.host, p.port
    FROM signal AS s JOIN snapshot AS p ON p.log = s.log AND p.seq = s.snapshot_seq
    WHERE ($end::TIMESTAMP IS NULL OR s.recorded_at < $end::TIMESTAMP)
      AND NOT list_contains($no_preference::VARCHAR[], s.protocol)
    UNION ALL
    SELECT s.protocol, s.value, s.scope, s.recorded_at, 'answer' AS place, d.scheme, d.host, d.port
    FROM signal AS s JOIN decision AS d ON d.log = s.log AND d.exchange_id = s.exchange_id
    WHERE ($end::TIMESTAMP IS NULL OR s.recorded_at < $end::TIMESTAMP)
      AND NOT list_contains($no_preference::VARCHAR[], s.protocol)
),
wish AS (
    SELECT f.protocol, f.value, f.place, a.site, a.authority,
           -- user-agent lines without the path behind them and without versions
           list_transform(string_split(regexp_replace(lower(coalesce(f.scope, '')), '(^| )/.*$', ''), ', '),
                          lambda agent: regexp_extract(agent, '^[^/ ]*')) AS agents,
           f.first_at, f.last_at
    FROM (
        SELECT protocol, value, scope, place, scheme, host, port,
               min(recorded_at) AS first_at, max(recorded_at) AS last_at
        FROM found GROUP BY protocol, value, scope, place, scheme, host, port
    ) AS f JOIN authority AS a ON a.scheme = f.scheme AND a.host = f.host AND a.port = f.port
),
refusal AS (
    SELECT w.protocol, r.use, w.authority, w.first_at, w.last_at
    FROM wish AS w JOIN reading AS r ON r.protocol = w.protocol AND r.value = w.value
    -- addressed to everybody, or to one of the crawlers; the scope of TDMRep is a path
    WHERE w.protocol = 'tdmrep' OR list_has_any(w.agents, ['', '*'])
       OR list_has_any(w.agents, (SELECT tokens FROM addressee))
    UNION ALL
    SELECT $robots_txt::VARCHAR, 'any', a.authority, b.first_at, b.last_at
    FROM (
        SELECT scheme, host, port, min(recorded_at) AS first_at, max(recorded_at) AS last_at
        FROM decision
        WHERE (basis = 'rule' AND verdict = 'disallowed' OR basis = 'exemption')
          AND regexp_matches(rule, $blanket::VARCHAR)
          AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
        GROUP BY scheme, host, port
    ) AS b JOIN authority AS a ON a.scheme = b.scheme AND a.host = b.host AND a.port = b.port
),
reserved AS MATERIALIZED (
    SELECT protocol, use, authority, min(first_at) AS first_at, max(last_at) AS last_at,
           row_number() OVER (ORDER BY protocol, use, authority) AS reservation
    FROM refusal GROUP BY protocol, use, authority
),
asked AS (
    SELECT a.authority, d.recorded_at, d.action = 'forwarded' AS forwarded, d.exemption IS NOT NULL AS exempt
    FROM decision AS d JOIN (SELECT * FROM authority WHERE authority IN (SELECT authority FROM reserved)) AS a
      ON a.scheme = d.scheme AND a.host = d.host AND a.port = d.port
    WHERE d.basis <> 'robots_txt'
      AND ($start::TIMESTAMP IS NULL OR d.recorded_at >= $start::TIMESTAMP)
      AND ($end::TIMESTAMP IS NULL OR d.recorded_at < $end::TIMESTAMP)
),
-- requests by the last refusal that was first found before them; NULL: none was
since AS (
    SELECT d.authority, t.first_at,
           count(*) FILTER (WHERE d.forwarded) AS forwarded,
           count(*) FILTER (WHERE NOT d.forwarded) AS denied,
           count(*) FILTER (WHERE d.forwarded AND d.exempt) AS exempt
    FROM asked AS d ASOF LEFT JOIN (SELECT DISTINCT authority, first_at FROM reserved) AS t
      ON t.authority = d.authority AND d.recorded_at >= t.first_at
    GROUP BY d.authority, t.first_at
),
counted AS (
    SELECT r.reservation,
           sum(s.forwarded) FILTER (WHERE s.first_at IS NULL OR s.first_at < r.first_at) AS forwarded_before,
           sum(s.forwarded) FILTER (WHERE s.first_at >= r.first_at) AS forwarded_after,
           sum(s.denied) FILTER (WHERE s.first_at >= r.first_at) AS denied_after,
           sum(s.exempt) FILTER (WHERE s.first_at >= r.first_at) AS exempt_after
    FROM reserved AS r JOIN since AS s ON s.authority = r.authority
    GROUP BY r.reservation
),
by_site AS MATERIALIZED (
    SELECT r.protocol, r.use, a.site, count(*) AS authorities,
           min(r.first_at) AS first_seen, max(r.last_at) AS last_seen,
           CAST(coalesce(sum(c.forwarded_before), 0) AS BIGINT) AS forwarded_before,
           CAST(coalesce(sum(c.forwarded_after), 0) AS BIGINT) AS forwarded_after,
           CAST(coalesce(sum(c.denied_after), 0) AS BIGINT) AS denied_after,
           CAST(coalesce(sum(c.exempt_after), 0) AS BIGINT) AS exempt_after
    FROM reserved AS r JOIN authority AS a ON a.authority = r.authority
    LEFT JOIN counted AS c ON c.reservation = r.reservation
    GROUP BY r.protocol, r.use, a.site
),
seen AS (
    SELECT protocol, count(DISTINCT site) AS sites_seen, count(DISTINCT authority) AS authorities_seen,
           count(DISTINCT site) FILTER (WHERE place = 'robots') AS sites_in_robots,
           count(DISTINCT site) FILTER (WHERE place = 'answer') AS sites_in_answers,
           min(first_at) AS seen_from, max(last_at) AS seen_to
    FROM wish GROUP BY protocol
    UNION ALL
    SELECT protocol, count(*), CAST(sum(authorities) AS BIGINT), count(*), 0, min(first_seen), max(last_seen)
    FROM by_site WHERE protocol = $robots_txt::VARCHAR GROUP BY protocol
)
SELECT 'protocol' AS what, s.protocol, r.use, NULL AS site, s.sites_seen, s.authorities_seen, s.sites_in_robots,
       s.sites_in_answers, s.seen_from, s.seen_to, r.sites, r.authorities, r.first_seen, r.last_seen,
       r.forwarded_before, r.forwarded_after, r.denied_after, r.exempt_after, NULL AS listed_of
FROM seen AS s LEFT JOIN (
    SELECT protocol, use, count(*) AS sites, CAST(sum(authorities) AS BIGINT) AS authorities,
           min(first_seen) AS first_seen, max(last_seen) AS last_seen,
           CAST(sum(forwarded_before) AS BIGINT) AS forwarded_before,
           CAST(sum(forwarded_after) AS BIGINT) AS forwarded_after,
           CAST(sum(denied_after) AS BIGINT) AS denied_after, CAST(sum(exempt_after) AS BIGINT) AS exempt_after
    FROM by_site GROUP BY protocol, use
) AS r ON r.protocol = s.protocol
UNION ALL
SELECT 'site', protocol, use, site, NULL, NULL, NULL, NULL, NULL, NULL, NULL, authorities, first_seen, last_seen,
       forwarded_before, forwarded_after, denied_after, exempt_after, listed_of
FROM (
    SELECT *, count(*) OVER () AS listed_of FROM by_site
    ORDER BY forwarded_after DESC, site, protocol, use LIMIT $rows_max
)
ORDER BY what, forwarded_after DESC, site, protocol, use;
