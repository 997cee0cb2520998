-- Send what is enqueued from now on to the new table.
SELECT queueworker.queue_flip(%(queue)s::text, %(own)s::boolean)
