-- One job, whatever its state; by the primary keys of its possible places.
SELECT id, queue, task, priority, state, attempt, max_attempts, crash_count, created_at, run_at, finished_at,
  unique_key, pod, error, args::text AS args
FROM queueworker.jobs
WHERE id = %(id)s::bigint
