-- Claims of a live worker whose answer it never got (the connection broke). The table has about one
-- row per batch in flight: a scan of it is as cheap as an index.
SELECT c.token, q.name AS queue, c.ids
FROM queueworker.claim AS c
JOIN queueworker.queue AS q ON q.id = c.queue_id
WHERE c.worker_id = %(worker_id)s::uuid
  AND c.token <> ALL (%(seen)s::bigint[])
