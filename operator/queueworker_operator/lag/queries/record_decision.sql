-- Append to the bounded history of a name's decisions (index: `decision` by name and time).
SELECT queueworker.record_decision(%(name)s::text, %(record)s::jsonb);
