-- End a lease; by primary key. Of a claim whose answer the worker never got no job has started. The
-- table of claims has about one row per batch in flight: a scan of it is as cheap as an index.
WITH unseen AS (
  UPDATE queueworker.claim
  SET started = 0
  WHERE worker_id = %(id)s::uuid
    AND token <> ALL (%(seen)s::bigint[])
)
DELETE FROM queueworker.worker
WHERE id = %(id)s::uuid
