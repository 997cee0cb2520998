-- Read a controller's state back; NULL when there is none (primary key of `operator_state`).
SELECT queueworker.load_state(%(name)s::text) AS state;
