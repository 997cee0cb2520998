-- Dead letters whose unique key another job has; by primary key and the unique index of keys.
SELECT d.id, d.unique_key, j.id AS taken_by
FROM queueworker.dead_job AS d
JOIN queueworker.job AS j ON j.queue_id = d.queue_id AND j.unique_key = d.unique_key
WHERE d.id = ANY (%(ids)s::bigint[])
ORDER BY d.id
