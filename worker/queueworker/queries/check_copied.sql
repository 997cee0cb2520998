-- Hold the copied rows to the bounds. By the primary key.
SELECT queueworker.check_copied(%s::int, %s::bigint, %s::bigint)
