-- Whether a queue is known; by its unique name.
SELECT EXISTS (SELECT FROM queueworker.queue WHERE name = %(queue)s::text AND tail_of IS NULL)
