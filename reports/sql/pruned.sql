-- Records that custody records say were pruned, per log and range, and the time between the seals around them.
SELECT c.subject_log AS log, sum(c.rows)::BIGINT AS records,
       coalesce((SELECT max(s.recorded_at) FROM seal AS s WHERE s.log = c.subject_log AND s.seq < c.first_seq),
                (SELECT min(r.recorded_at) FROM run AS r WHERE r.log = c.subject_log)) AS started_at,
       (SELECT min(s.recorded_at) FROM seal AS s WHERE s.log = c.subject_log AND s.seq > c.last_seq) AS ended_at
FROM custody AS c
WHERE c.event = 'pruned'
GROUP BY c.subject_log, c.first_seq, c.last_seq
ORDER BY log, started_at;
