-- Who outside has seen a head that covers a seal, as the log itself says; the first of each.
SELECT method, authority, min(checkpoint_size) AS checkpoint_size, min(coalesce(stated_at, recorded_at)) AS seen_at
FROM anchor WHERE log = $log AND checkpoint_size > $seal_index
GROUP BY method, authority ORDER BY seen_at, method, authority;
