-- Enqueue one job; NULL when its unique key is taken. One probe of queue and lane by unique index.
SELECT queueworker.enqueue(
  queue => %(queue)s::text,
  task => %(task)s::text,
  args => %(args)s::text::jsonb,
  run_at => coalesce(
    %(run_at)s::timestamptz,
    clock_timestamp() + make_interval(secs => %(delay_s)s::float8)
  ),
  priority => %(priority)s::int,
  unique_key => %(unique_key)s::text,
  max_attempts => %(max_attempts)s::int,
  timeout_s => %(timeout_s)s::float8
)
