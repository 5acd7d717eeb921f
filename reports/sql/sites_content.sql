-- Per site, what came back: successes, and content (2xx answers with at least one octet, robots.txt left out) by kind.
-- Logs and sites are joined and counted by hashes of their names, which takes half the memory.
WITH ended AS (
    SELECT hash(log) AS log, decision_seq, status BETWEEN 200 AND 299 AS success, response_bytes AS octets, modality,
           -- 64 bits of a SHA-256's hash tell bodies apart: of ten million, two agree once in 400,000 logs
           CASE WHEN body_sha256 IS NOT NULL THEN hash(body_sha256) END AS body
    FROM completion
), asked AS (
    SELECT hash(log) AS log, seq, hash(site) AS site, basis = 'robots_txt' AS is_robots_txt FROM decision
    WHERE ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
      AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
), met AS (
    SELECT d.site, c.success, c.octets, c.modality, c.body,
           coalesce(c.success AND c.octets > 0 AND NOT d.is_robots_txt, false) AS content
    FROM ended AS c JOIN asked AS d ON d.log = c.log AND d.seq = c.decision_seq
), counted AS (
    SELECT site,
           count(*) FILTER (WHERE success) AS successes,
           CAST(coalesce(sum(octets), 0) AS BIGINT) AS bytes,
           count(*) FILTER (WHERE content) AS content_responses,
           CAST(coalesce(sum(octets) FILTER (WHERE content), 0) AS BIGINT) AS content_bytes,
           count(DISTINCT body) FILTER (WHERE content) AS unique_bodies,
           count(*) FILTER (WHERE content AND modality = 'text') AS of_text,
           count(*) FILTER (WHERE content AND modality = 'image') AS of_image,
           count(*) FILTER (WHERE content AND modality = 'video') AS of_video,
           count(*) FILTER (WHERE content AND modality = 'audio') AS of_audio,
           count(*) FILTER (WHERE content AND modality = 'other') AS of_other,
           count(*) FILTER (WHERE content AND modality IS NULL) AS of_unknown
    FROM met GROUP BY site
)
SELECT named.site, counted.* EXCLUDE (site)
FROM counted JOIN (SELECT DISTINCT site FROM decision) AS named ON hash(named.site) = counted.site
ORDER BY named.site;
