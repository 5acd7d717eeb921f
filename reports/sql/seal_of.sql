-- The seal that covers one record.
SELECT seq, seal_index, recorded_at, root, first_seq, rows
FROM seal WHERE log = $log AND first_seq <= $seq AND $seq < first_seq + rows;
