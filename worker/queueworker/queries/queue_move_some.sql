-- Move a batch of a queue's jobs to its new table.
SELECT moved, state
FROM queueworker.queue_move_some(%(queue)s::text)
