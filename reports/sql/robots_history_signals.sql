-- The usage preferences that numbered copies of robots.txt, and the tdmrep.json beside them, state.
SELECT DISTINCT v.version, s.protocol, coalesce(s.value, s.raw) AS value, s.scope
FROM signal AS s JOIN (
    SELECT unnest($logs::VARCHAR[]) AS log, unnest($seqs::BIGINT[]) AS seq, unnest($versions::BIGINT[]) AS version
) AS v ON v.log = s.log AND v.seq = s.snapshot_seq
ORDER BY ALL;
