-- Set what holds until the end of the transaction.
SELECT set_config(s.name, s.value, true)
FROM unnest(%(names)s::text[], %(values)s::text[]) AS s (name, value)
