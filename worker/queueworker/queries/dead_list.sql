-- The newest dead letters of a selection; of one queue by the index (queue_id, died_at).
SELECT id, queue, task, priority, attempt, max_attempts, crash_count, kind, error, created_at, died_at,
  extract(epoch FROM clock_timestamp() - died_at)::float8 AS died_age_s, unique_key, args::text AS args
FROM queueworker.dead_letters
WHERE (%(queue)s::text IS NULL OR queue = %(queue)s::text)
  AND (%(task)s::text IS NULL OR task = %(task)s::text)
  AND (%(kind)s::text IS NULL OR kind = %(kind)s::text)
  AND (%(error)s::text IS NULL OR position(lower(%(error)s::text) IN lower(error)) > 0)
  AND (%(since)s::timestamptz IS NULL OR died_at >= %(since)s::timestamptz)
  AND (%(until)s::timestamptz IS NULL OR died_at < %(until)s::timestamptz)
ORDER BY died_at DESC, id DESC
LIMIT %(most)s::int
