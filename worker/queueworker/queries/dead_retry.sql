-- Make dead letters ready again, all or these.
SELECT queueworker.dead_retry(%(queue)s::text, %(ids)s::bigint[])
