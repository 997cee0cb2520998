-- Give a queue a partition of its own.
SELECT queueworker.queue_create(%(queue)s::text)
