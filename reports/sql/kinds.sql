-- How many records of each kind there are.
SELECT 'decision' AS kind, count(*) AS records FROM decision
UNION ALL SELECT 'completion', count(*) FROM completion
UNION ALL SELECT 'snapshot', count(*) FROM snapshot
UNION ALL SELECT 'robots_body', count(*) FROM robots_body
UNION ALL SELECT 'signal', count(*) FROM signal
UNION ALL SELECT 'tunnel', count(*) FROM tunnel
UNION ALL SELECT 'incident', count(*) FROM incident
UNION ALL SELECT 'run', count(*) FROM run
UNION ALL SELECT 'seal', count(*) FROM seal
UNION ALL SELECT 'anchor', count(*) FROM anchor
UNION ALL SELECT 'gap', count(*) FROM gap
UNION ALL SELECT 'custody', count(*) FROM custody
UNION ALL SELECT 'fleet_node', count(*) FROM fleet_node
UNION ALL SELECT 'fleet_head', count(*) FROM fleet_head;
