-- Whether this role may make the schema as the owner role; no row = there is no such role.
SELECT pg_has_role(current_user, r.oid, 'MEMBER')
  AND has_database_privilege(r.oid, current_database(), 'CREATE')
FROM pg_roles AS r
WHERE r.rolname = 'queueworker_owner'
