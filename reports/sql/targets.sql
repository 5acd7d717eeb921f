-- Spellings of one URL in the log: targets that are the same once every escape is decoded. The reader then keeps
-- those that RFC 3986 6.2.2 calls equivalent (%2F is not a slash). What is not UTF-8 once decoded (%FF) gives NULL,
-- and is left to the reader whole.
SELECT DISTINCT target
FROM decision
WHERE host = $host
  AND ($scheme::VARCHAR IS NULL OR scheme = $scheme::VARCHAR)
  AND ($port::BIGINT IS NULL OR port = $port::BIGINT)
  AND TRY(url_decode(target)) IS NOT DISTINCT FROM TRY(url_decode($target::VARCHAR));
