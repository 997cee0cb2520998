-- Append to the bounded histories of decisions, in the order given (index: `decision` by name and time).
SELECT queueworker.record_decision(given.name, given.record)
FROM unnest(%(names)s::text[], %(records)s::jsonb[]) WITH ORDINALITY AS given (name, record, place)
ORDER BY given.place;
