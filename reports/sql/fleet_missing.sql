-- Sidecars that were enrolled when a round was made and of which it has no record: no round may leave one out.
WITH round AS (
    SELECT round_index, min(seq) AS first_seq, list(DISTINCT node) AS nodes FROM fleet_head GROUP BY round_index
), spell AS (
    SELECT node, event, seq AS from_seq, lead(seq) OVER (PARTITION BY node ORDER BY seq) AS to_seq FROM fleet_node
)
SELECT round.round_index, spell.node
FROM round JOIN spell ON spell.from_seq < round.first_seq AND (spell.to_seq IS NULL OR spell.to_seq > round.first_seq)
WHERE spell.event = 'enrolled' AND NOT list_contains(round.nodes, spell.node)
ORDER BY round.round_index, spell.node LIMIT 100;
