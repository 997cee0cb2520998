-- Enqueue one job, scheduled or with a key; NULL when the holder of its key stays.
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
  timeout_s => %(timeout_s)s::float8,
  on_duplicate => %(on_duplicate)s::text
)
