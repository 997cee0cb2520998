-- Find a queue by its unique name; its row and sequences are made at first use.
SELECT id, name, part, paused, idle
FROM queueworker.ensure_queue(%(queue)s::text)
