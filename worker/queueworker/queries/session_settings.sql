-- Set what holds for a session. No row comes back where the server's process is not the one that the
-- connection was told of: a pooler stands between, which gives each transaction any session.
SELECT set_config(s.name, s.value, false)
FROM unnest(%(names)s::text[], %(values)s::text[]) AS s (name, value)
WHERE pg_backend_pid() = %(backend_pid)s::int
