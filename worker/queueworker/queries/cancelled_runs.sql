-- The runs that this worker has to stop; those that it has stopped are forgotten. The table is nearly empty.
SELECT cancelled_runs
FROM queueworker.cancelled_runs(%(worker_id)s::uuid, %(stopped)s::bigint[])
