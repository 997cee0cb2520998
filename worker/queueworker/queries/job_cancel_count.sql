-- What that would cancel.
SELECT of_task AS task, state, jobs
FROM queueworker.cancel_count(%(queue)s::text, %(task)s::text)
