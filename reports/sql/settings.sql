-- Settings of every run, the latest first: what the operator declares about each crawler.
SELECT log, recorded_at, settings FROM run WHERE event = 'start' ORDER BY recorded_at DESC, log DESC;
