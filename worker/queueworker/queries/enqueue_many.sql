-- Enqueue a batch of one kind of job; ids in the order of the arguments.
SELECT enqueue_many
FROM queueworker.enqueue_many(
  queue => %(queue)s::text,
  task => %(task)s::text,
  args => %(args)s::text[]::jsonb[],
  priority => %(priority)s::int,
  max_attempts => %(max_attempts)s::int,
  timeout_s => %(timeout_s)s::float8
)
