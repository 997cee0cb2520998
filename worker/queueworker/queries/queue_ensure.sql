-- Find a queue by its unique name; its row and sequences are made at first use. While it is moved, its
-- tail (by the index on tail_of) still has jobs that run.
SELECT q.id, q.name, q.part, q.paused, q.idle, coalesce(q.finished_for > interval '0', false) AS is_retained,
  tail.id AS tail_id, tail.part AS tail_part
FROM queueworker.ensure_queue(%(queue)s::text) AS q
LEFT JOIN queueworker.queue AS tail ON tail.tail_of = q.id
