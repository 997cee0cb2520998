-- The names of all queues.
SELECT name
FROM queueworker.queue
WHERE tail_of IS NULL
ORDER BY name
