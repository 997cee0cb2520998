-- Take a batch of jobs out of a queue for good.
SELECT queueworker.queue_empty(%(queue)s::text)
