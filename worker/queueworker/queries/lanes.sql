-- The lanes that a worker with these tasks may claim from; by the unique index on (queue_id, task, ...).
SELECT l.id, l.task, l.priority, l.floor
FROM queueworker.lane AS l
JOIN queueworker.queue AS q ON q.id = l.queue_id
WHERE l.queue_id = %(queue_id)s::int
  AND l.task = ANY (%(tasks)s::text[])
  AND NOT q.paused
ORDER BY l.priority DESC, l.id
