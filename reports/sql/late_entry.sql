-- The gap whose requests left before their record was durable (fail_open), where this decision was one of them.
SELECT seq, cause, first_at, last_at, $seq BETWEEN first_seq AND last_seq AS by_number
FROM gap
WHERE log = $log
  AND ($seq BETWEEN first_seq AND last_seq OR (first_seq IS NULL AND $at BETWEEN first_at AND last_at))
ORDER BY by_number DESC, seq
LIMIT 1;
