-- Prove that the default table has no row of the reserved id; blocks nobody.
SELECT queueworker.queue_part_prove(%(queue)s::text)
