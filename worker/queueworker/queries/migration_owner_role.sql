-- Whether this role may act as the owner role; no row = there is no such role.
SELECT pg_has_role(current_user, r.oid, 'MEMBER')
FROM pg_roles AS r
WHERE r.rolname = 'queueworker_owner'
