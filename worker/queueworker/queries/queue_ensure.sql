-- Find a queue by its unique name; its row and sequences are made at first use.
SELECT id, name, part, paused, idle, coalesce(finished_for > interval '0', false) AS is_retained
FROM queueworker.ensure_queue(%(queue)s::text)
