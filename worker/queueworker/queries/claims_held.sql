-- Which of these jobs still carry the token of their claim, in whatever partition. By primary key.
SELECT j.id, j.token
FROM unnest(%(ids)s::bigint[], %(tokens)s::bigint[]) AS g (id, token)
JOIN queueworker.job AS j ON j.id = g.id AND j.token = g.token
WHERE j.queue_id = ANY (%(queue_ids)s::int[])
