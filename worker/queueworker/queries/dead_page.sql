-- The next ids of a selection of a queue, the longest dead first; by the index (queue_id, died_at).
SELECT id, died_at
FROM queueworker.dead_letters
WHERE queue = %(queue)s::text
  AND died_at >= %(after_at)s::timestamptz
  AND (died_at, id) > (%(after_at)s::timestamptz, %(after_id)s::bigint)
  AND (%(task)s::text IS NULL OR task = %(task)s::text)
  AND (%(kind)s::text IS NULL OR kind = %(kind)s::text)
  AND (%(error)s::text IS NULL OR position(lower(%(error)s::text) IN lower(error)) > 0)
  AND (%(since)s::timestamptz IS NULL OR died_at >= %(since)s::timestamptz)
  AND (%(until)s::timestamptz IS NULL OR died_at < %(until)s::timestamptz)
ORDER BY died_at, id
LIMIT %(most)s::int
