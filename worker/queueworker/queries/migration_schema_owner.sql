-- Who owns the schema; no row = there is none.
SELECT n.nspowner::regrole::text, pg_has_role(current_user, n.nspowner, 'MEMBER')
FROM pg_namespace AS n
WHERE n.nspname = 'queueworker'
