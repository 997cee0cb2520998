-- How many dead letters of a queue a selection has, by task and kind; by the index (queue_id, died_at).
SELECT task, kind, count(*) AS jobs
FROM queueworker.dead_letters
WHERE queue = %(queue)s::text
  AND (%(task)s::text IS NULL OR task = %(task)s::text)
  AND (%(kind)s::text IS NULL OR kind = %(kind)s::text)
  AND (%(error)s::text IS NULL OR position(lower(%(error)s::text) IN lower(error)) > 0)
  AND (%(since)s::timestamptz IS NULL OR died_at >= %(since)s::timestamptz)
  AND (%(until)s::timestamptz IS NULL OR died_at < %(until)s::timestamptz)
GROUP BY task, kind
ORDER BY jobs DESC, task, kind
