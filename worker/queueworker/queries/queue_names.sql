-- The names of all queues.
SELECT name
FROM queueworker.queue
ORDER BY name
