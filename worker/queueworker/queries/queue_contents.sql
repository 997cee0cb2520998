-- What a queue's removal would take away.
SELECT jobs, dead, workers
FROM queueworker.queue_contents(%(queue)s::text)
