-- One job of the replay; gives its id and the database's clock. Served by the function itself.
SELECT
    enqueued.id,
    extract(EPOCH FROM clock_timestamp())::float8 AS at_s
FROM queueworker.enqueue(%(queue)s, %(task)s, %(arguments)s::jsonb) AS enqueued (id)
