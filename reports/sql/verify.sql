-- The evidence of a log directory computed again with nothing but DuckDB (1.4 or newer): every leaf, the Merkle root of
-- every seal, the tree of seals and its head.  Generated from the schema; docs/log-format.md says what a leaf is.
--
--   duckdb -cmd "SET VARIABLE log_directory = '/absolute/path/audit-log'" < verify.sql
--
-- The answer is a row per finding, under the check ids of docs/evidence.md, and a row per log with what was counted.
-- What SQL cannot check: signatures, time stamps, whether each verdict follows from its robots.txt, whether this is
-- the history that others were shown; `crawl-audit verify` does.  Run it in a fresh database, never in one you were
-- given: a database file may redefine sha256().

SET TimeZone = 'UTC';

CREATE OR REPLACE TEMP TABLE leaf (log VARCHAR, seq BIGINT, kind VARCHAR, leaf VARCHAR);
INSERT INTO leaf SELECT log, seq, 'run', leaf FROM (SELECT log, seq, sha256('\x00'::BLOB || encode(to_json({'checkpoint_key': checkpoint_key, 'event': event, 'k': 'run', 'mode': mode, 'node': node, 'previous_log': previous_log, 'reason': reason, 'recorded_at': epoch_us(recorded_at), 'settings': settings, 'settings_sha256': settings_sha256, 'software': software, 'trust_sha256': trust_sha256, 'v': v})::VARCHAR)) AS leaf FROM (SELECT * FROM read_parquet(getvariable('log_directory') || '/segments/*/*/run.parquet', union_by_name = true, hive_partitioning = false)));
INSERT INTO leaf SELECT log, seq, 'snapshot', leaf FROM (SELECT log, seq, sha256('\x00'::BLOB || encode(to_json({'body_bytes': body_bytes, 'content_type': content_type, 'error': error, 'etag': etag, 'fetch_ms': fetch_ms, 'fetched_at': epoch_us(fetched_at), 'final_url': final_url, 'host': host, 'k': 'snapshot', 'looks_like_html': looks_like_html, 'origin_log': origin_log, 'outcome': outcome, 'port': port, 'recorded_at': epoch_us(recorded_at), 'redirects': redirects, 'robots_sha256': robots_sha256, 'scheme': scheme, 'source': source, 'status': status, 'truncated': truncated, 'v': v, 'valid_until': epoch_us(valid_until)})::VARCHAR)) AS leaf FROM (SELECT * FROM read_parquet(getvariable('log_directory') || '/segments/*/*/snapshot.parquet', union_by_name = true, hive_partitioning = false)));
INSERT INTO leaf SELECT log, seq, 'robots_body', leaf FROM (SELECT log, seq, sha256('\x00'::BLOB || encode(to_json({'body_bytes': body_bytes, 'k': 'robots_body', 'recorded_at': epoch_us(recorded_at), 'robots_sha256': robots_sha256, 'v': v})::VARCHAR)) AS leaf FROM (SELECT * FROM read_parquet(getvariable('log_directory') || '/segments/*/*/robots_body.parquet', union_by_name = true, hive_partitioning = false)));
INSERT INTO leaf SELECT log, seq, 'decision', leaf FROM (SELECT log, seq, sha256('\x00'::BLOB || encode(to_json({'action': action, 'basis': basis, 'client_c': CASE WHEN client IS NULL THEN client_c ELSE sha256(CASE WHEN salt IS NULL THEN unhex(client_s) ELSE unhex(sha256(unhex(salt) || encode('client'))) END || encode(client)) END, 'crawl_delay_ms': crawl_delay_ms, 'crawler': crawler, 'detail': detail, 'divergent': divergent, 'exchange_id': exchange_id, 'exemption': exemption, 'group_tokens': group_tokens, 'held_ms': held_ms, 'host': host, 'k': 'decision', 'method': method, 'mode': mode, 'parser': parser, 'port': port, 'product_token': product_token, 'protego_verdict': protego_verdict, 'recorded_at': epoch_us(recorded_at), 'request_interval_ms': request_interval_ms, 'robots_age_ms': robots_age_ms, 'robots_sha256': robots_sha256, 'rule': rule, 'rule_line': rule_line, 'scheme': scheme, 'since_previous_ms': since_previous_ms, 'site': site, 'snapshot_seq': snapshot_seq, 'target_b64_c': CASE WHEN target_b64 IS NULL THEN target_b64_c ELSE sha256(CASE WHEN salt IS NULL THEN unhex(target_b64_s) ELSE unhex(sha256(unhex(salt) || encode('target_b64'))) END || encode(target_b64)) END, 'target_c': CASE WHEN target IS NULL THEN target_c ELSE sha256(CASE WHEN salt IS NULL THEN unhex(target_s) ELSE unhex(sha256(unhex(salt) || encode('target'))) END || encode(target)) END, 'token_in_user_agent': token_in_user_agent, 'trace_id_c': CASE WHEN trace_id IS NULL THEN trace_id_c ELSE sha256(CASE WHEN salt IS NULL THEN unhex(trace_id_s) ELSE unhex(sha256(unhex(salt) || encode('trace_id'))) END || encode(trace_id)) END, 'user_agent_c': CASE WHEN user_agent IS NULL THEN user_agent_c ELSE sha256(CASE WHEN salt IS NULL THEN unhex(user_agent_s) ELSE unhex(sha256(unhex(salt) || encode('user_agent'))) END || encode(user_agent)) END, 'v': v, 'verdict': verdict})::VARCHAR)) AS leaf FROM (SELECT * FROM read_parquet(getvariable('log_directory') || '/segments/*/*/decision.parquet', union_by_name = true, hive_partitioning = false) UNION ALL BY NAME SELECT NULL::VARCHAR AS trace_id_c, NULL::VARCHAR AS trace_id_s, NULL::VARCHAR AS client_c, NULL::VARCHAR AS client_s, NULL::VARCHAR AS user_agent_c, NULL::VARCHAR AS user_agent_s, NULL::VARCHAR AS target_c, NULL::VARCHAR AS target_s, NULL::VARCHAR AS target_b64_c, NULL::VARCHAR AS target_b64_s WHERE false));
INSERT INTO leaf SELECT log, seq, 'completion', leaf FROM (SELECT log, seq, sha256('\x00'::BLOB || encode(to_json({'barrier': barrier, 'body_sha256': body_sha256, 'content_type': content_type, 'decision_seq': decision_seq, 'duration_ms': duration_ms, 'error': error, 'http_version': http_version, 'k': 'completion', 'modality': modality, 'outcome': outcome, 'recorded_at': epoch_us(recorded_at), 'request_bytes': request_bytes, 'response_bytes': response_bytes, 'server_ip': server_ip, 'status': status, 'v': v})::VARCHAR)) AS leaf FROM (SELECT * FROM read_parquet(getvariable('log_directory') || '/segments/*/*/completion.parquet', union_by_name = true, hive_partitioning = false)));
INSERT INTO leaf SELECT log, seq, 'signal', leaf FROM (SELECT log, seq, sha256('\x00'::BLOB || encode(to_json({'exchange_id': exchange_id, 'k': 'signal', 'protocol': protocol, 'raw': raw, 'recorded_at': epoch_us(recorded_at), 'scope': scope, 'snapshot_seq': snapshot_seq, 'v': v, 'value': value})::VARCHAR)) AS leaf FROM (SELECT * FROM read_parquet(getvariable('log_directory') || '/segments/*/*/signal.parquet', union_by_name = true, hive_partitioning = false)));
INSERT INTO leaf SELECT log, seq, 'tunnel', leaf FROM (SELECT log, seq, sha256('\x00'::BLOB || encode(to_json({'client_c': CASE WHEN client IS NULL THEN client_c ELSE sha256(CASE WHEN salt IS NULL THEN unhex(client_s) ELSE unhex(sha256(unhex(salt) || encode('client'))) END || encode(client)) END, 'crawler': crawler, 'detail': detail, 'exchange_id': exchange_id, 'host': host, 'k': 'tunnel', 'outcome': outcome, 'port': port, 'protocol': protocol, 'recorded_at': epoch_us(recorded_at), 'v': v})::VARCHAR)) AS leaf FROM (SELECT * FROM read_parquet(getvariable('log_directory') || '/segments/*/*/tunnel.parquet', union_by_name = true, hive_partitioning = false) UNION ALL BY NAME SELECT NULL::VARCHAR AS client_c, NULL::VARCHAR AS client_s WHERE false));
INSERT INTO leaf SELECT log, seq, 'incident', leaf FROM (SELECT log, seq, sha256('\x00'::BLOB || encode(to_json({'client_c': CASE WHEN client IS NULL THEN client_c ELSE sha256(CASE WHEN salt IS NULL THEN unhex(client_s) ELSE unhex(sha256(unhex(salt) || encode('client'))) END || encode(client)) END, 'crawler': crawler, 'detail': detail, 'exchange_id': exchange_id, 'incident': incident, 'k': 'incident', 'recorded_at': epoch_us(recorded_at), 'v': v})::VARCHAR)) AS leaf FROM (SELECT * FROM read_parquet(getvariable('log_directory') || '/segments/*/*/incident.parquet', union_by_name = true, hive_partitioning = false) UNION ALL BY NAME SELECT NULL::VARCHAR AS client_c, NULL::VARCHAR AS client_s WHERE false));
INSERT INTO leaf SELECT log, seq, 'seal', leaf FROM (SELECT log, seq, sha256('\x00'::BLOB || encode(to_json({'completions': completions, 'decisions': decisions, 'dropped': dropped, 'first_seq': first_seq, 'forwarded': forwarded, 'in_flight': in_flight, 'k': 'seal', 'monotonic_ms': monotonic_ms, 'reason': reason, 'recorded_at': epoch_us(recorded_at), 'root': root, 'rows': rows, 'seal_index': seal_index, 'settings_sha256': settings_sha256, 'v': v})::VARCHAR)) AS leaf FROM (SELECT * FROM read_parquet(getvariable('log_directory') || '/segments/*/*/seal.parquet', union_by_name = true, hive_partitioning = false)));
INSERT INTO leaf SELECT log, seq, 'anchor', leaf FROM (SELECT log, seq, sha256('\x00'::BLOB || encode(to_json({'authority': authority, 'checkpoint_root': checkpoint_root, 'checkpoint_size': checkpoint_size, 'k': 'anchor', 'method': method, 'receipt_sha256': receipt_sha256, 'recorded_at': epoch_us(recorded_at), 'stated_at': epoch_us(stated_at), 'v': v})::VARCHAR)) AS leaf FROM (SELECT * FROM read_parquet(getvariable('log_directory') || '/segments/*/*/anchor.parquet', union_by_name = true, hive_partitioning = false)));
INSERT INTO leaf SELECT log, seq, 'gap', leaf FROM (SELECT log, seq, sha256('\x00'::BLOB || encode(to_json({'cause': cause, 'detail': detail, 'file_sha256': file_sha256, 'first_at': epoch_us(first_at), 'first_seq': first_seq, 'k': 'gap', 'kept': kept, 'last_at': epoch_us(last_at), 'last_seq': last_seq, 'recorded_at': epoch_us(recorded_at), 'requests': requests, 'v': v})::VARCHAR)) AS leaf FROM (SELECT * FROM read_parquet(getvariable('log_directory') || '/segments/*/*/gap.parquet', union_by_name = true, hive_partitioning = false)));
INSERT INTO leaf SELECT log, seq, 'custody', leaf FROM (SELECT log, seq, sha256('\x00'::BLOB || encode(to_json({'custodian': custodian, 'event': event, 'fields': fields, 'first_seq': first_seq, 'hold': hold, 'k': 'custody', 'last_seq': last_seq, 'leaves_sha256': leaves_sha256, 'reason': reason, 'recorded_at': epoch_us(recorded_at), 'rows': rows, 'scope_c': CASE WHEN scope IS NULL THEN scope_c ELSE sha256(CASE WHEN salt IS NULL THEN unhex(scope_s) ELSE unhex(sha256(unhex(salt) || encode('scope'))) END || encode(scope)) END, 'subject_log': subject_log, 'v': v})::VARCHAR)) AS leaf FROM (SELECT * FROM read_parquet(getvariable('log_directory') || '/segments/*/*/custody.parquet', union_by_name = true, hive_partitioning = false) UNION ALL BY NAME SELECT NULL::VARCHAR AS scope_c, NULL::VARCHAR AS scope_s WHERE false));
INSERT INTO leaf SELECT log, seq, 'fleet_node', leaf FROM (SELECT log, seq, sha256('\x00'::BLOB || encode(to_json({'event': event, 'k': 'fleet_node', 'log_key': log_key, 'node': node, 'reason': reason, 'recorded_at': epoch_us(recorded_at), 'v': v})::VARCHAR)) AS leaf FROM (SELECT * FROM read_parquet(getvariable('log_directory') || '/segments/*/*/fleet_node.parquet', union_by_name = true, hive_partitioning = false)));
INSERT INTO leaf SELECT log, seq, 'fleet_head', leaf FROM (SELECT log, seq, sha256('\x00'::BLOB || encode(to_json({'checked_size': checked_size, 'closing': closing, 'detail': detail, 'enrolled': enrolled, 'head_at': epoch_us(head_at), 'k': 'fleet_head', 'log_key': log_key, 'node': node, 'recorded_at': epoch_us(recorded_at), 'root': root, 'round_index': round_index, 'signature': signature, 'size': size, 'state': state, 'subject_log': subject_log, 'v': v})::VARCHAR)) AS leaf FROM (SELECT * FROM read_parquet(getvariable('log_directory') || '/segments/*/*/fleet_head.parquet', union_by_name = true, hive_partitioning = false)));
INSERT INTO leaf SELECT log, seq, kind, leaf FROM read_parquet(getvariable('log_directory') || '/segments/*/*/withheld.parquet', hive_partitioning = false);

CREATE OR REPLACE TEMP TABLE seal AS
SELECT log, seq, seal_index, first_seq, rows, root, leaf.leaf,
       lag(seq, 1, -1) OVER by_seq AS previous_seq, lag(seal_index, 1, -1) OVER by_seq AS previous_index
FROM read_parquet(getvariable('log_directory') || '/segments/*/*/seal.parquet', union_by_name = true,
                  hive_partitioning = false)
JOIN leaf USING (log, seq)
WINDOW by_seq AS (PARTITION BY log ORDER BY seq);

CREATE OR REPLACE TEMP TABLE pruned AS
SELECT subject_log AS log, first_seq, last_seq
FROM read_parquet(getvariable('log_directory') || '/segments/*/*/custody.parquet', union_by_name = true,
                  hive_partitioning = false)
WHERE event = 'pruned';

-- Each record with the seal that should cover it: the first one behind it.
CREATE OR REPLACE TEMP TABLE covered AS
SELECT leaf.log, leaf.seq, leaf.leaf, seal.seq AS seal_seq, seal.first_seq
FROM leaf ASOF LEFT JOIN seal ON leaf.log = seal.log AND leaf.seq <= seal.seq
WHERE leaf.kind <> 'seal';

-- RFC 6962 2.1: pairs are hashed level by level, an odd one at the end moves up as it is.
CREATE OR REPLACE TEMP TABLE recomputed AS
WITH RECURSIVE tree AS (
    SELECT log, seal_seq, count(*) OVER whole AS nodes, row_number() OVER (whole ORDER BY seq) - 1 AS i,
           unhex(leaf) AS hash
    FROM covered WHERE seq >= first_seq
    WINDOW whole AS (PARTITION BY log, seal_seq)
    UNION ALL
    SELECT log, seal_seq, (nodes + 1) // 2, i // 2,
           CASE WHEN count(*) = 2 THEN unhex(sha256('\x01'::BLOB || min_by(hash, i) || max_by(hash, i)))
                ELSE any_value(hash) END
    FROM tree WHERE nodes > 1 GROUP BY log, seal_seq, nodes, i // 2
)
SELECT log, seal_seq AS seq, lower(hex(hash)) AS root FROM tree WHERE nodes = 1;

CREATE OR REPLACE TEMP TABLE checkpoint AS
SELECT regexp_extract(filename, '([^/]+)\.checkpoint$', 1) AS log,
       string_split(content, chr(10))[1] AS origin,
       CAST(string_split(content, chr(10))[2] AS BIGINT) AS size,
       lower(hex(from_base64(string_split(content, chr(10))[3]))) AS root
FROM read_text(getvariable('log_directory') || '/checkpoints/*.checkpoint');

-- The tree over the seals, up to the size that the log's checkpoint states.
CREATE OR REPLACE TEMP TABLE head AS
WITH RECURSIVE tree AS (
    SELECT log, count(*) OVER whole AS nodes, row_number() OVER (whole ORDER BY seq) - 1 AS i, unhex(leaf) AS hash
    FROM seal JOIN checkpoint USING (log) WHERE seal_index < size
    WINDOW whole AS (PARTITION BY log)
    UNION ALL
    SELECT log, (nodes + 1) // 2, i // 2,
           CASE WHEN count(*) = 2 THEN unhex(sha256('\x01'::BLOB || min_by(hash, i) || max_by(hash, i)))
                ELSE any_value(hash) END
    FROM tree WHERE nodes > 1 GROUP BY log, nodes, i // 2
)
SELECT log, lower(hex(hash)) AS root FROM tree WHERE nodes = 1;

WITH counted AS (
    SELECT log, seal_seq AS seq, count(*) FILTER (WHERE seq >= first_seq) AS found,
           count(*) FILTER (WHERE seq < first_seq) AS outside
    FROM covered GROUP BY log, seal_seq
), sealed AS (
    SELECT seal.*, coalesce(found, 0) AS found, coalesce(outside, 0) AS outside, recomputed.root AS computed,
           EXISTS (FROM pruned WHERE pruned.log = seal.log AND pruned.first_seq <= seal.first_seq
                                 AND pruned.last_seq >= seal.seq - 1) AS is_pruned
    FROM seal LEFT JOIN counted USING (log, seq) LEFT JOIN recomputed USING (log, seq)
), finding AS (
    SELECT log, 'R1' AS "check", seq, 'this record is there ' || count(*) || ' times' AS message
    FROM leaf GROUP BY log, seq HAVING count(*) > 1
    UNION ALL
    SELECT log, 'R2', min(seq), count(*) || ' records are covered by no seal'
    FROM covered WHERE seal_seq IS NULL OR seq < first_seq GROUP BY log
    UNION ALL
    SELECT log, 'R3', seq, 'the seal covers ' || rows || ' records, ' || found || ' are there'
    FROM sealed WHERE found <> rows AND NOT (is_pruned AND found = 0)
    UNION ALL
    SELECT log, 'R4', seq, 'the records give another root than the seal states'
    FROM sealed WHERE found = rows AND rows > 0 AND computed <> root
    UNION ALL
    SELECT log, 'R4', seq, 'a seal over nothing must state the root of the empty tree'
    FROM sealed WHERE rows = 0 AND root <> sha256('')
    UNION ALL
    SELECT log, 'S1', seq, 'seal ' || seal_index || ' follows seal ' || previous_index
    FROM seal WHERE seal_index <> previous_index + 1
    UNION ALL
    SELECT log, 'S2', seq, 'the seal does not cover everything since the one before it'
    FROM seal WHERE first_seq <> previous_seq + 1 OR seq <> first_seq + rows
    UNION ALL
    SELECT log, 'H2', NULL, 'the checkpoint states another root than its ' || size || ' seals give'
    FROM checkpoint LEFT JOIN head USING (log) WHERE size > 0 AND head.root IS DISTINCT FROM checkpoint.root
    UNION ALL
    SELECT log, 'H2', NULL, 'the checkpoint names another log: ' || origin
    FROM checkpoint WHERE origin <> 'crawl-audit/' || log
    UNION ALL
    SELECT log, 'H3', NULL, 'the checkpoint states ' || any_value(size) || ' seals, ' || count(seal.seq) || ' are there'
    FROM checkpoint LEFT JOIN seal USING (log) GROUP BY log HAVING any_value(size) > count(seal.seq)
)
SELECT log, "check", seq, message FROM finding
UNION ALL
SELECT log, 'counted', NULL,
       count(*) || ' records and seals, ' || count(*) FILTER (WHERE kind = 'seal') || ' seals'
FROM leaf GROUP BY log
ORDER BY log, "check", seq;
