-- Records that custody records say were pruned, per log and range, and the time between the seals around them.
WITH removed AS (
    SELECT subject_log, first_seq, last_seq, CAST(sum(rows) AS BIGINT) AS records
    FROM custody WHERE event = 'pruned' GROUP BY subject_log, first_seq, last_seq
)
SELECT c.subject_log AS log, c.records,
       coalesce((SELECT max(s.recorded_at) FROM seal AS s WHERE s.log = c.subject_log AND s.seq < c.first_seq),
                (SELECT min(r.recorded_at) FROM run AS r WHERE r.log = c.subject_log)) AS started_at,
       (SELECT min(s.recorded_at) FROM seal AS s WHERE s.log = c.subject_log AND s.seq > c.last_seq) AS ended_at
FROM removed AS c
ORDER BY log, started_at;
