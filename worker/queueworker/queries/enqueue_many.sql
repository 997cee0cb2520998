-- Enqueue jobs of one kind with times and keys of their own; ids in their order, NULL where a key is taken.
SELECT ARRAY(
  SELECT enqueue_many
  FROM queueworker.enqueue_many(
    queue => %(queue)s::text,
    task => %(task)s::text,
    args => %(args)s::text[]::jsonb[],
    priority => %(priority)s::int,
    unique_keys => %(unique_keys)s::text[],
    max_attempts => %(max_attempts)s::int,
    timeout_s => %(timeout_s)s::float8,
    on_duplicate => %(on_duplicate)s::text,
    run_ats => ARRAY(
      SELECT coalesce(t.run_at, clock_timestamp() + make_interval(secs => t.delay_s))
      FROM unnest(%(run_ats)s::timestamptz[], %(delays_s)s::float8[]) WITH ORDINALITY AS t (run_at, delay_s, place)
      ORDER BY t.place
    )
  )
)
