-- Remove a queue; false when it has jobs, dead letters or a live worker (unless `purge`).
SELECT queueworker.queue_drop(%(queue)s::text, %(purge)s::boolean)
