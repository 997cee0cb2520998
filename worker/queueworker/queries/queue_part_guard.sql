-- Let the default table refuse rows of the reserved id.
SELECT queueworker.queue_part_guard(%(queue)s::text)
