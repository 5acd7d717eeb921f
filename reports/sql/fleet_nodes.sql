-- Every sidecar that was ever enrolled in the fleet, by what was last said of it.
SELECT node, arg_max(event, seq) AS event, arg_max(coalesce(log_key, ''), seq) AS log_key, min(recorded_at) AS since
FROM fleet_node
GROUP BY node ORDER BY node;
