-- Delete dead letters, all or these.
SELECT queueworker.dead_purge(%(queue)s::text, %(ids)s::bigint[])
