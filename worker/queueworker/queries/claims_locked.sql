-- Which of these jobs another transaction holds: they still carry their token, and cannot be locked.
-- In whatever partition; by primary key.
WITH held AS MATERIALIZED (
  SELECT j.id, j.token
  FROM unnest(%(ids)s::bigint[], %(tokens)s::bigint[]) AS g (id, token)
  JOIN queueworker.job AS j ON j.id = g.id AND j.token = g.token
  WHERE j.queue_id = ANY (%(queue_ids)s::int[])
),
free AS MATERIALIZED (
  SELECT j.id, j.token
  FROM queueworker.job AS j
  WHERE j.queue_id = ANY (%(queue_ids)s::int[])
    AND j.id = ANY (ARRAY(SELECT id FROM held))
  FOR UPDATE SKIP LOCKED
)
SELECT id, token
FROM held
EXCEPT
SELECT id, token
FROM free
