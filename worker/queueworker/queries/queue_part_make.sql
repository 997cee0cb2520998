-- Make the table that a queue moves to; false when it is there already.
SELECT queueworker.queue_part_make(%(queue)s::text, %(own)s::boolean)
