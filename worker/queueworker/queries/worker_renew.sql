-- Lengthen a lease that nobody has ended, and report the load; no row = the lease is lost. By primary
-- key. Its jobs are given away only after its row is gone: until then a late renewal harms nobody.
-- A worker of one queue need not tell its load per queue.
UPDATE queueworker.worker AS w
SET expires_at = clock_timestamp() + make_interval(secs => %(ttl_s)s::float8),
  renewed_at = clock_timestamp(),
  slots = %(slots)s::int,
  busy = %(busy)s::int,
  held = %(held)s::int,
  draining = %(draining)s::boolean,
  oldest_start_at = clock_timestamp() - make_interval(secs => %(oldest_start_age_s)s::float8),
  busy_by_queue = CASE
    WHEN cardinality(w.queues) = 1 THEN ARRAY[%(busy)s::int]
    ELSE ARRAY(
      SELECT coalesce((%(load_busy)s::int[])[array_position(%(load_queues)s::text[], q.name)], 0)
      FROM unnest(w.queues) WITH ORDINALITY AS q (name, place)
      ORDER BY q.place
    )
  END,
  held_by_queue = CASE
    WHEN cardinality(w.queues) = 1 THEN ARRAY[%(held)s::int]
    ELSE ARRAY(
      SELECT coalesce((%(load_held)s::int[])[array_position(%(load_queues)s::text[], q.name)], 0)
      FROM unnest(w.queues) WITH ORDINALITY AS q (name, place)
      ORDER BY q.place
    )
  END
WHERE w.id = %(id)s::uuid
RETURNING w.drain
