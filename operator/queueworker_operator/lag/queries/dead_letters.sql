-- List the newest dead letters of the given queues (index: `dead_job` by queue and time).
SELECT
  id,
  queue,
  task,
  kind,
  error,
  attempt,
  crash_count AS crashes,
  extract(EPOCH FROM clock_timestamp() - died_at)::float8 AS age_s
FROM queueworker.dead_letters
WHERE queue = ANY (%(queues)s::text[])
ORDER BY died_at DESC, id DESC
LIMIT %(most)s::int;
