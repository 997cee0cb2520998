-- Cancel a batch of a queue's jobs.
SELECT queueworker.cancel_many(%(queue)s::text, %(task)s::text)
