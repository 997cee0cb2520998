-- The newest dead letters of a queue; by the index (queue_id, died_at).
SELECT d.id, q.name AS queue, l.task, d.attempt, d.crash_count,
  extract(epoch FROM clock_timestamp() - d.died_at)::float8 AS died_age_s, d.error, d.args
FROM queueworker.dead_job AS d
JOIN queueworker.queue AS q ON q.id = d.queue_id
JOIN queueworker.lane AS l ON l.id = d.lane_id
WHERE q.name = %(queue)s::text
ORDER BY d.died_at DESC
LIMIT %(most)s::int
