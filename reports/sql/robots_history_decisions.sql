-- How requests of the period were decided on numbered copies of robots.txt; $logs, $seqs: the snapshots of each.
SELECT v.version,
       count(*) FILTER (WHERE d.verdict = 'allowed') AS allowed,
       count(*) FILTER (WHERE d.verdict = 'disallowed') AS disallowed,
       count(*) FILTER (WHERE d.verdict = 'disallowed' AND d.action = 'forwarded') AS violations
FROM decision AS d JOIN (
    SELECT unnest($logs::VARCHAR[]) AS log, unnest($seqs::BIGINT[]) AS seq, unnest($versions::BIGINT[]) AS version
) AS v ON v.log = d.log AND v.seq = d.snapshot_seq
WHERE d.basis <> 'robots_txt'
  AND ($start::TIMESTAMP IS NULL OR d.recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR d.recorded_at < $end::TIMESTAMP)
GROUP BY v.version;
