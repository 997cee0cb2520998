-- Ask workers to claim nothing more, or to claim again (primary key of `worker`).
SELECT queueworker.set_drain(%(worker_ids)s::uuid[], %(drain)s) AS changed;
