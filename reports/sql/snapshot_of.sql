-- The robots.txt snapshot a decision rests on, with the octets kept in the same log.
SELECT s.*, b.body
FROM snapshot AS s LEFT JOIN robots_body AS b ON b.log = s.log AND b.robots_sha256 = s.robots_sha256
WHERE s.log = $log AND s.seq = $seq;
