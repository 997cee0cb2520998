-- Ask workers to claim nothing more, for so long or (NULL) until it is undone, or to claim again (primary
-- key of `worker`).
SELECT CASE
  WHEN %(for_s)s::float8 IS NULL THEN queueworker.set_drain(%(worker_ids)s::uuid[], %(drain)s)
  ELSE queueworker.drain_for(%(worker_ids)s::uuid[], %(for_s)s::float8)
END AS changed;
