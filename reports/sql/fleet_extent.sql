-- How many rounds there are, whether their numbers leave one out, and when the last was made.
SELECT count(DISTINCT round_index) AS rounds, coalesce(max(round_index) + 1, 0) AS stated,
       epoch_us(max(recorded_at)) AS last_at
FROM fleet_head;
