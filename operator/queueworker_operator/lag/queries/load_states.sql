-- Read controllers' states back in the order given; NULL where there is none (primary key of `operator_state`).
SELECT queueworker.load_state(given.name) AS state
FROM unnest(%(names)s::text[]) WITH ORDINALITY AS given (name, place)
ORDER BY given.place;
