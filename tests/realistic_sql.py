"""The SQL that makes the rows of a synthetic log: from who asks for what to the columns of a segment.

Each text is a step; names in braces are filled in for the run and the days that are made.
"""

from __future__ import annotations

# Who asks for what, when: n counts the requests of the run.
ASKED = """
CREATE OR REPLACE TABLE asked AS
WITH drawn AS (
    SELECT hour.day, hour.first + k AS n, hash(hour.first + k + {base}) AS h,
           hour.start_us + 10000 + CAST((k + 0.9 * chance(hash(hour.first + k + {base}), 1)) * (hour.span_us - 20000)
             / hour.asked AS BIGINT) AS at_us
    FROM hour, unnest(range(hour.asked)) AS slot(k)
), chosen AS (
    SELECT day, n, h, at_us,
           n % 5 = 0 OR chance(h, 2) < 0.25 AS is_tail,
           CASE WHEN n % 5 = 0 THEN (n // 5) % ({tail} // {turns} + 1)
                ELSE CAST(floor(exp(chance(h, 3) * ln({tail} // {turns} + 1))) AS BIGINT) - 1 END AS tail_index
    FROM drawn
), ranked AS (
    SELECT day, n, h, at_us,
           CASE WHEN is_tail THEN {head} + 1 + (tail_index * {turns} + (day + {shift}) % {turns}) % {tail}
                ELSE least(greatest(CAST(floor(exp(chance(h, 3) * ln({head} + 1))) AS BIGINT), 1), {head}) END AS rank
    FROM chosen
)
SELECT r.day, r.n, r.h, r.at_us, r.rank, c.crawler,
       getvariable('asking_slots')[1 + CAST(draw(r.h, 8) % 1000 AS BIGINT)] AS kind,
       CASE WHEN chance(r.h, 4) < 0.6 THEN 0 ELSE draw(r.h, 5) % 4 END AS wanted,
       draw(r.h, 6) % greatest(20, 300000 // r.rank) AS x
FROM ranked AS r
JOIN crawler AS c ON c.node = {node} AND chance(r.h, 7) >= c.low AND chance(r.h, 7) < c.high
"""
# What is decided, and whether it leaves.  Where the pace is enforced, what comes in every second interval is too early.
DECIDED = """
CREATE OR REPLACE TABLE decided AS
WITH here AS (
    SELECT a.*, p.place, p.exemption AS exempted, NOT k.contradictory AND a.kind <> (
             SELECT kind FROM asking WHERE prefix = '/robots.txt') AS rests,
           k.prefix || CASE WHEN k.numbered THEN CAST(x AS VARCHAR) ELSE '' END || k.suffix AS target,
           CASE WHEN p.flaky AND (p.place * 31 + a.day * 17) % 97 = 0 THEN 'failing'
                WHEN a.day >= p.change_day THEN p.after ELSE p.before END AS robots
    FROM asked AS a
    JOIN place AS p ON p.rank = a.rank AND p.number = a.wanted % p.places
    JOIN asking AS k ON k.kind = a.kind
), ruled_on AS (
    SELECT h.*, coalesce(e.id, o.id) AS ruling
    FROM here AS h
    JOIN ruled AS o ON o.robots = h.robots AND o.crawler = h.crawler AND o.kind = h.kind AND o.exemption IS NULL
    LEFT JOIN ruled AS e ON h.day >= {exempt_from} AND h.day < {exempt_until} AND e.robots = h.robots
                        AND e.crawler = h.crawler AND e.kind = h.kind AND e.exemption = h.exempted
), acted AS (
    SELECT t.*, r.{action} AS said, r.basis AS said_basis,
           CASE WHEN {paced} AND t.rests AND r.{action} = 'forwarded'
                THEN greatest(r.crawl_delay_ms, r.request_interval_ms) * 1000 END AS asked_us,
           -- crawler and place in one number, and with them the time: windows over many small partitions are slow
           ((c.number::BIGINT * 131072 + t.place) << 43) AS pair
    FROM ruled_on AS t JOIN ruled AS r ON r.id = t.ruling JOIN crawler AS c ON c.crawler = t.crawler
), early AS (
    SELECT n, pair + at_us // asked_us AS turn, at_us // asked_us % 2 = 1
             OR coalesce(lag(turn) OVER (ORDER BY turn, at_us, n) = turn, false) AS too_early
    FROM acted WHERE asked_us > 0
), left_now AS (
    SELECT a.*, coalesce(e.too_early, false) AS too_early, CASE WHEN too_early THEN 'denied' ELSE said END AS action,
           NOT too_early AND said = 'forwarded' AND said_basis <> 'robots_txt' AS counts
    FROM acted AS a LEFT JOIN early AS e ON e.n = a.n
), after AS (
    SELECT *, max(CASE WHEN counts THEN pair + at_us - {begin} END) OVER (
                ORDER BY pair + at_us - {begin}, n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS previous
    FROM left_now
)
SELECT w.* EXCLUDE (said, said_basis, pair, previous),
       (at_us - CASE WHEN previous >= pair THEN previous - pair + {begin} ELSE b.left_us END) // 1000
         AS since_previous_ms
FROM after AS w LEFT JOIN left_before AS b ON b.crawler = w.crawler AND b.place = w.place
"""
# The robots.txt of each authority, asked for before the first request of a day that rests on it.
FETCHED = """
CREATE OR REPLACE TABLE fetched AS
SELECT f.place, f.day, f.at_us, f.robots, t.status, t.outcome, t.outcome = 'successful' AS has_body,
       encode(t.text || CASE WHEN p.own THEN '\nSitemap: ' || p.authority || '/sitemap.xml\n' ELSE '' END) AS body
FROM (
    SELECT place, day, min(at_us) - 1500 AS at_us, any_value(robots) AS robots
    FROM decided WHERE rests GROUP BY place, day
) AS f
JOIN place AS p ON p.place = f.place JOIN file AS t ON t.robots = f.robots;
CREATE OR REPLACE TABLE shot AS
SELECT place, day, place * 64 + day AS id, at_us, robots, status, outcome, has_body,
       CASE WHEN has_body THEN sha256(body) END AS digest,
       octet_length(body) AS octets
FROM fetched;
CREATE OR REPLACE TABLE new_body AS
SELECT s.digest, min(s.at_us) AS at_us, any_value(f.body) AS body
FROM shot AS s JOIN fetched AS f ON f.place = s.place AND f.day = s.day
WHERE s.digest IS NOT NULL AND s.digest NOT IN (SELECT digest FROM known) GROUP BY s.digest;
INSERT INTO known SELECT digest FROM new_body;
"""
# How what left ended, as far as it is on record.
ENDED = """
CREATE OR REPLACE TABLE ended AS
WITH drawn AS (
    SELECT d.day, d.n, d.h, d.at_us, d.place, d.kind, d.robots, a.outcome, a.error, a.barrier,
           CASE WHEN k.prefix = '/robots.txt' AND a.status = 200 THEN t.status ELSE a.status END AS status,
           k.prefix = '/robots.txt' AS is_robots, k.content_type, k.modality, k.median_bytes,
           octet_length(encode(t.text))
             + CASE WHEN p.own THEN octet_length(encode('\nSitemap: ' || p.authority || '/sitemap.xml\n')) ELSE 0 END
             AS robots_bytes,
           sqrt(-2 * ln(1 - chance(d.h, 20))) * cos(2 * pi() * chance(d.h, 21)) AS z
    FROM (SELECT *, getvariable('answer_slots')[1 + CAST(draw(h, 22) % 10000 AS BIGINT)] AS answer FROM decided) AS d
    JOIN asking AS k ON k.kind = d.kind JOIN place AS p ON p.place = d.place
    JOIN file AS t ON t.robots = d.robots
    JOIN answer AS a ON a.answer = d.answer
    WHERE d.action = 'forwarded' AND (chance(d.h, 23) >= {unended} OR d.at_us >= {crashed})
), answered AS (
    SELECT * EXCLUDE (outcome, error, barrier),
           CASE WHEN status IS NULL AND outcome = 'completed' THEN 'upstream_error' ELSE outcome END AS outcome,
           CASE WHEN status IS NULL AND error IS NULL THEN 'connect: The server refused the connection.' ELSE error END
             AS error,
           CASE WHEN barrier = 'challenge' THEN barrier
                WHEN status IN (401, 402, 403, 407, 429, 451) THEN 'http_' || status END AS barrier
    FROM drawn
), sized AS (
    SELECT *, at_us >= {crashed} AND draw(h, 24) % 7 = 0 AS lost,
           CASE WHEN status IS NULL THEN 0
                WHEN status IN (304) THEN 0
                WHEN status >= 300 THEN 200 + draw(h, 25) % 3000
                WHEN is_robots THEN robots_bytes
                WHEN outcome = 'client_abort' THEN draw(h, 25) % 5000
                ELSE CAST(median_bytes * exp(1.1 * z) AS BIGINT) END AS bytes
    FROM answered
)
SELECT day, n, h, place, robots, kind, lost,
       CASE WHEN lost THEN {recovered}
            ELSE least(at_us + 20000 + CAST(180000 * exp(chance(h, 26) * 3 - 1) AS BIGINT),
                       least({until}, {begin} + (day + 1) * {one_day}) - 1000) END AS at_us,
       at_us AS decided_us,
       CASE WHEN lost THEN 'unknown_after_crash' ELSE outcome END AS outcome,
       CASE WHEN lost THEN 'the sidecar stopped before it could record how this exchange ended' ELSE error END AS error,
       CASE WHEN NOT lost THEN status END AS status,
       CASE WHEN lost THEN 0 ELSE bytes END AS bytes,
       CASE WHEN lost OR status IS NULL OR status = 304 THEN NULL WHEN status >= 300 THEN 'text/html'
            ELSE content_type END AS content_type,
       CASE WHEN lost OR status IS NULL OR status = 304 THEN NULL WHEN status >= 300 THEN 'text' ELSE modality END
         AS modality,
       CASE WHEN NOT lost THEN barrier END AS barrier,
       is_robots AND status = 200 AND NOT lost AND outcome = 'completed' AS is_observed
FROM sized
"""
# The octets of robots.txt that crawlers fetched through the sidecar, as snapshots; signals of answers.
SPREAD = """
CREATE OR REPLACE TABLE observed AS
SELECT e.n, e.day, e.place, e.robots, e.at_us + 1 AS at_us, s.digest, s.octets
FROM ended AS e JOIN shot AS s ON s.place = e.place AND s.day = e.day AND s.at_us < e.at_us AND s.digest IS NOT NULL
WHERE e.is_observed;
CREATE OR REPLACE TABLE found AS
SELECT e.n, f.number, e.at_us - 500 AS at_us, f.protocol, f.raw, f.value, f.scope
FROM ended AS e JOIN field AS f ON f.set_number = draw(e.h, 30) % 4
WHERE e.outcome = 'completed' AND e.status = 200 AND NOT e.is_observed AND chance(e.h, 31) < 0.01;
"""
# Connections and incidents, now and then.
OTHERS = """
CREATE OR REPLACE TABLE connected AS
SELECT d.n, d.at_us - 900 AS at_us, d.crawler, p.host, p.port,
       CASE d.n // 40 % 25 WHEN 1 THEN 'tls' WHEN 2 THEN 'websocket' ELSE 'connect' END AS protocol,
       CASE d.n // 40 % 25 WHEN 1 THEN 'failed' WHEN 2 THEN 'refused' WHEN 3 THEN 'refused' ELSE 'opened' END AS outcome
FROM decided AS d JOIN place AS p ON p.place = d.place WHERE d.n % 40 = 7;
CREATE OR REPLACE TABLE happened AS
SELECT n, at_us + 700 AS at_us, crawler,
       (['malformed_request', 'client_timeout', 'unknown_crawler', 'hook_error'])[1 + n // 4000 % 4] AS incident
FROM decided WHERE n % 4000 = 11;
"""
LEFT = """
CREATE OR REPLACE TABLE left_before AS
SELECT crawler, place, max(left_us) AS left_us
FROM (SELECT * FROM left_before UNION ALL SELECT crawler, place, at_us FROM decided WHERE counts) GROUP BY ALL;
"""
# (kind, id, when it was entered): what left unrecorded is entered at the end of the gap.
PLACED = """
CREATE OR REPLACE TABLE numbered AS
SELECT what, id, at_us, {next} + r + r // {per_seal} AS seq, r // {per_seal} AS seal,
       what = 'decision' AS is_decision, what = 'decision' AND forwarded AS is_forwarded, what = 'completion' AS is_end
FROM (
    SELECT what, id, at_us, forwarded, row_number() OVER (ORDER BY entered_us, turn, id, number) - 1 AS r, number
    FROM (
        SELECT 'robots_body' AS what, rowid AS id, at_us, at_us AS entered_us, 1 AS turn, 0 AS number,
               false AS forwarded FROM new_body
        UNION ALL SELECT 'shot', id, at_us, at_us, 2, 0, false FROM shot
        UNION ALL SELECT 'observed', n, at_us, at_us, 7, 0, false FROM observed
        UNION ALL SELECT 'wish', s.id * 100 + w.number, s.at_us, s.at_us, 3, w.number, false
                  FROM shot AS s JOIN wish AS w ON w.robots = s.robots
        UNION ALL SELECT 'decision', n, at_us,
                         CASE WHEN at_us >= {gap_first} AND at_us < {gap_us} THEN {gap_us} + 1 ELSE at_us END, 4, 0,
                         action = 'forwarded' FROM decided
        UNION ALL SELECT 'completion', n, at_us,
                         CASE WHEN decided_us >= {gap_first} AND decided_us < {gap_us}
                              THEN greatest({gap_us} + 1, at_us) ELSE at_us END, 6, 0, false FROM ended
        UNION ALL SELECT 'found', n * 10 + number, at_us,
                         CASE WHEN at_us >= {gap_first} AND at_us < {gap_us} THEN {gap_us} + 2 ELSE at_us END, 5,
                         number, false FROM found
        UNION ALL SELECT 'tunnel', n, at_us, at_us, 0, 0, false FROM connected
        UNION ALL SELECT 'incident', n, at_us, at_us, 8, 0, false FROM happened
        UNION ALL SELECT 'extra', id, at_us, entered_us, turn, 0, false FROM extra
    )
)
"""
STORED = {
    "robots_body": """
        SELECT s.seq, make_timestamp(b.at_us) AS recorded_at, b.digest AS robots_sha256,
               octet_length(b.body) AS body_bytes, b.body
        FROM new_body AS b JOIN numbered AS s ON s.what = 'robots_body' AND s.id = b.rowid""",
    "snapshot": """
        SELECT s.seq, make_timestamp(t.at_us) AS recorded_at, p.scheme, p.host, p.port, t.source,
               NULL::TIMESTAMP AS fetched_at, NULL AS origin_log,
               CASE WHEN p.place % 33 = 0 THEN p.authority || '/robots-en.txt' ELSE p.authority || '/robots.txt' END
                 AS final_url,
               CASE WHEN p.place % 33 = 0 THEN [p.authority || '/robots-en.txt'] ELSE []::VARCHAR[] END AS redirects,
               t.status, t.outcome, CASE WHEN t.status IS NULL THEN 'connect: The server refused the connection.' END
                 AS error, t.digest AS robots_sha256, CASE WHEN t.digest IS NOT NULL THEN t.octets END AS body_bytes,
               false AS truncated, CASE WHEN t.status = 200 THEN 'text/plain' END AS content_type,
               t.robots = 'page' AS looks_like_html, NULL AS etag, 3 + p.place % 400 AS fetch_ms,
               make_timestamp(greatest({begin} + (t.day + 1) * {one_day}, t.at_us + 60000000)) AS valid_until
        FROM (
            SELECT 'shot' AS what, id, place, day, at_us, robots, status, outcome, digest, octets,
                   'fetched' AS source FROM shot
            UNION ALL SELECT 'observed', n, place, day, at_us, robots, 200, 'successful', digest, octets, 'observed'
            FROM observed
        ) AS t JOIN numbered AS s ON s.what = t.what AND s.id = t.id JOIN place AS p ON p.place = t.place""",
    "signal": """
        SELECT s.seq, make_timestamp(t.at_us) AS recorded_at, NULL AS exchange_id, o.seq AS snapshot_seq, w.protocol,
               w.raw, w.value, w.scope
        FROM shot AS t JOIN wish AS w ON w.robots = t.robots
        JOIN numbered AS s ON s.what = 'wish' AND s.id = t.id * 100 + w.number
        JOIN numbered AS o ON o.what = 'shot' AND o.id = t.id
        UNION ALL
        SELECT s.seq, make_timestamp(f.at_us), exchange_id(d.at_us, d.h), NULL, f.protocol, f.raw, f.value, f.scope
        FROM found AS f JOIN decided AS d ON d.n = f.n
        JOIN numbered AS s ON s.what = 'found' AND s.id = f.n * 10 + f.number""",
    "decision": """
        SELECT s.seq, make_timestamp(d.at_us) AS recorded_at, exchange_id(d.at_us, d.h) AS exchange_id,
               CASE WHEN draw(d.h, 46) % 100 = 0 THEN md5(CAST(d.h AS VARCHAR)) END AS trace_id, d.crawler,
               c.product_token, '10.0.' || draw(d.h, 40) % 4 || '.' || draw(d.h, 41) % 250 AS client,
               coalesce(d.agent, c.own_agent) AS user_agent,
               d.agent IS NULL OR (d.crawler = 'train-a' AND d.agent ILIKE '%ExampleTrainBot%') AS token_in_user_agent,
               'GET' AS method, p.scheme, p.host, p.port, d.target,
               CASE WHEN d.target LIKE '/\\%E2%' ESCAPE '\\' THEN to_base64(encode(d.target)) END AS target_b64, p.site,
               CASE WHEN d.rests THEN o.seq END AS snapshot_seq,
               CASE WHEN d.rests THEN t.digest END AS robots_sha256,
               CASE WHEN d.rests THEN (d.at_us - t.at_us) // 1000 END AS robots_age_ms,
               CASE WHEN d.too_early THEN 'disallowed' ELSE r.verdict END AS verdict,
               CASE WHEN d.too_early THEN 'crawl_delay' ELSE r.basis END AS basis,
               r.group_tokens, r.rule, r.rule_line, r.protego_verdict, r.divergent, {parser} AS parser, {mode} AS mode,
               d.action, r.exemption,
               CASE WHEN d.too_early THEN 'The site asks for ' || d.asked_us // 1000 || ' ms between requests; this one'
                 || ' would be held longer than requests are held.' ELSE r.detail END AS detail,
               r.crawl_delay_ms, r.request_interval_ms, d.since_previous_ms,
               CASE WHEN d.asked_us > 0 AND NOT d.too_early THEN CASE WHEN draw(d.h, 43) % 3 = 0
                 THEN draw(d.h, 44) % 4000 ELSE 0 END END AS held_ms,
               {salt} AS salt
        FROM (
            SELECT *, CASE WHEN chance(h, 42) < 0.002
                           THEN getvariable('agents')[1 + CAST(draw(h, 45) % len(getvariable('agents')) AS BIGINT)]
                      END AS agent FROM decided
        ) AS d
        JOIN numbered AS s ON s.what = 'decision' AND s.id = d.n JOIN place AS p ON p.place = d.place
        JOIN crawler AS c ON c.crawler = d.crawler JOIN ruled AS r ON r.id = d.ruling
        LEFT JOIN shot AS t ON t.place = d.place AND t.day = d.day
        LEFT JOIN numbered AS o ON o.what = 'shot' AND o.id = t.id""",
    "completion": """
        SELECT s.seq, make_timestamp(e.at_us) AS recorded_at, o.seq AS decision_seq, e.outcome, e.error, e.status,
               0 AS request_bytes, e.bytes AS response_bytes, e.content_type, e.modality,
               CASE WHEN e.outcome = 'completed' AND e.bytes > 0 THEN sha256(e.h::VARCHAR) END AS body_sha256,
               CASE WHEN e.lost THEN 0 ELSE (e.at_us - e.decided_us) // 1000 END AS duration_ms,
               CASE WHEN e.status IS NOT NULL THEN p.address END AS server_ip,
               CASE WHEN e.status IS NOT NULL THEN 'HTTP/1.1' END AS http_version, e.barrier
        FROM ended AS e JOIN numbered AS s ON s.what = 'completion' AND s.id = e.n
        JOIN numbered AS o ON o.what = 'decision' AND o.id = e.n JOIN place AS p ON p.place = e.place""",
    "tunnel": """
        SELECT s.seq, make_timestamp(t.at_us) AS recorded_at, NULL AS exchange_id, t.crawler, '10.0.0.7' AS client,
               t.protocol, t.host, t.port, t.outcome,
               CASE WHEN t.outcome <> 'opened' THEN 'It was not let through.' END AS detail,
               md5('t' || t.n) AS salt
        FROM connected AS t JOIN numbered AS s ON s.what = 'tunnel' AND s.id = t.n""",
    "incident": """
        SELECT s.seq, make_timestamp(t.at_us) AS recorded_at, t.incident, NULL AS exchange_id, t.crawler,
               CASE WHEN t.n >= 0 THEN '10.0.0.7' END AS client,
               CASE WHEN t.n >= 0 THEN 'Something happened: <b>' || t.n || '</b>.'
                    ELSE 'The sidecar stopped without closing this log.' END AS detail, md5('i' || t.n) AS salt
        FROM happened AS t JOIN numbered AS s ON s.what = 'incident' AND s.id = t.n""",
}
