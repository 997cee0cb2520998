-- Enqueue one job that is ready and has no key. One probe of queue and lane by their unique indexes.
SELECT queueworker.enqueue(
  queue => %s::text,
  task => %s::text,
  args => %s::text::jsonb,
  priority => %s::int,
  max_attempts => %s::int,
  timeout_s => %s::float8
)
