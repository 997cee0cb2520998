-- Store a controller's state, one row a name (primary key of `operator_state`).
SELECT queueworker.save_state(%(name)s::text, %(state)s::jsonb);
