-- Whose transactions hold a lock on a table of the schema. A few rows of a view of the server; no index.
SELECT DISTINCT a.pid, a.usename, a.application_name
FROM pg_locks AS l
JOIN pg_class AS c ON c.oid = l.relation
JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE c.relnamespace = to_regnamespace('queueworker') AND l.granted AND l.pid <> pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY a.pid
LIMIT 20
