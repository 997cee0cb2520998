-- The failed attempts of a job in their order; by the index (job_id, id).
SELECT attempt, kind, error, failed_at, worker_id, pod
FROM queueworker.failures
WHERE job_id = %(id)s::bigint
ORDER BY id
