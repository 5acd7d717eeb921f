-- For each log and each state in which a log contradicts itself or is missing, the first round that found it so.
SELECT * EXCLUDE (log, recorded_at, head_at), epoch_us(recorded_at) AS recorded_at, epoch_us(head_at) AS head_at
FROM fleet_head
WHERE state IN ('forked', 'rolled_back', 'invalid', 'gone')
QUALIFY row_number() OVER (PARTITION BY subject_log, state ORDER BY seq) = 1
ORDER BY seq;
