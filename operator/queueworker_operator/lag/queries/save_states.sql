-- Store controllers' states, one row a name (primary key of `operator_state`).
SELECT queueworker.save_state(given.name, given.state)
FROM unnest(%(names)s::text[], %(states)s::jsonb[]) AS given (name, state);
