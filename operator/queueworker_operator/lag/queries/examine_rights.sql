-- Of the given functions, name those that do not exist and those that this role may not call; by catalog.
-- Without the schema, all are missing.
SELECT
  array_agg(asked.name ORDER BY asked.name) FILTER (WHERE found.oid IS NULL) AS missing,
  array_agg(asked.name ORDER BY asked.name) FILTER (WHERE found.oid IS NOT NULL AND NOT (
    has_schema_privilege(found.pronamespace, 'USAGE') AND has_function_privilege(found.oid, 'EXECUTE')
  )) AS refused
FROM unnest(%(functions)s::text[]) AS asked (name)
LEFT JOIN (
  SELECT p.oid, p.proname::text AS name, p.pronamespace
  FROM pg_proc AS p
  JOIN pg_namespace AS n ON n.oid = p.pronamespace
  WHERE n.nspname = 'queueworker'
) AS found ON found.name = asked.name;
