-- Bound every statement of this session on the server too, and find no function of a schema that the
-- DSN, the role or the database would put first. No index.
SELECT
  pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', FALSE),
  pg_catalog.set_config('statement_timeout', %(timeout_ms)s::text, FALSE),
  pg_catalog.set_config('lock_timeout', %(timeout_ms)s::text, FALSE);
