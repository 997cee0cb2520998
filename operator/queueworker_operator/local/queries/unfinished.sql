-- Jobs that are not terminal yet, or dead, by state. Served by the partitions' primary keys.
SELECT
    id,
    state
FROM queueworker.jobs
WHERE queue = ANY(%(queues)s)
