-- Whether a role exists.
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %(role)s::text)
