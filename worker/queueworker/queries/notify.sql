-- Send a notification to every listener of this database.
SELECT pg_notify('queueworker', %(payload)s::text)
