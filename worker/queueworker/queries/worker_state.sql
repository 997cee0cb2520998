-- The live workers of these queues.
SELECT *
FROM queueworker.worker_state(%(queues)s::text[])
