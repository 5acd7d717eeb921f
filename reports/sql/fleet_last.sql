-- The last record of each log that a round found, and of each enrolled sidecar that had none in the last round.
SELECT * EXCLUDE (log, recorded_at, head_at), epoch_us(recorded_at) AS recorded_at, epoch_us(head_at) AS head_at
FROM fleet_head
QUALIFY row_number() OVER (PARTITION BY node, subject_log ORDER BY seq DESC) = 1
    AND (subject_log IS NOT NULL OR round_index = (SELECT max(round_index) FROM fleet_head))
ORDER BY node, subject_log;
