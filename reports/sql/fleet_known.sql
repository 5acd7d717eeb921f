-- Of every log that a round of the fleet's job found: the last record, and the largest head collected without a fault.
WITH held AS (
    SELECT subject_log, max(size) AS best_size, arg_max(root, size) AS best_root, max(checked_size) AS best_checked
    FROM fleet_head
    WHERE state NOT IN ('forked', 'rolled_back', 'invalid') AND size IS NOT NULL
    GROUP BY subject_log
), last AS (
    SELECT * FROM fleet_head WHERE subject_log IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY subject_log ORDER BY seq DESC) = 1
)
SELECT last.* EXCLUDE (log, seq, recorded_at, head_at), epoch_us(last.recorded_at) AS recorded_at,
       epoch_us(last.head_at) AS head_at, held.best_size, held.best_root, coalesce(held.best_checked, 0) AS best_checked
FROM last LEFT JOIN held ON held.subject_log = last.subject_log
ORDER BY last.subject_log;
