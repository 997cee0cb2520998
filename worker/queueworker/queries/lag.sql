-- One row per existing queue.
SELECT *
FROM queueworker.queue_lag(%(queues)s::text[])
