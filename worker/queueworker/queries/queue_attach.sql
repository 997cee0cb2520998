-- Give a queue without jobs a partition of its own; false when it has some.
SELECT queueworker.queue_attach(%(queue)s::text)
