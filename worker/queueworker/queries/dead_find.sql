-- Which of these jobs are dead letters, and of which queue; by primary key.
SELECT id, queue
FROM queueworker.dead_letters
WHERE id = ANY (%(ids)s::bigint[])
ORDER BY died_at, id
