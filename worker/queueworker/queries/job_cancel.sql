-- Cancel a job; gives what it was, NULL when it is in no queue.
SELECT queueworker.cancel(%(job_id)s::bigint)
