-- The largest head of each log that was collected without a fault, with its signature.
SELECT * EXCLUDE (log, recorded_at, head_at), epoch_us(recorded_at) AS recorded_at, epoch_us(head_at) AS head_at
FROM fleet_head
WHERE subject_log IS NOT NULL AND size IS NOT NULL AND state NOT IN ('forked', 'rolled_back', 'invalid')
QUALIFY row_number() OVER (PARTITION BY subject_log ORDER BY size DESC, signature IS NULL, seq DESC) = 1
ORDER BY subject_log;
