-- Enqueue ready jobs of one kind; ids in the order of the array.
SELECT queueworker.enqueue_batch(%s::text, %s::text, %s::text, %s::int, %s::int, %s::float8)
