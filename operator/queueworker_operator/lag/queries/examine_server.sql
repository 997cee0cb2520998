-- Describe the server and this session, for a person who looks for faults; catalogs and statistics alone.
-- Other roles' transactions can be seen with the rights of pg_read_all_stats only: NULL without.
SELECT
  current_user::text AS role,
  current_setting('server_version') AS version,
  current_setting('server_version_num')::int / 10000 AS major,
  pg_is_in_recovery() AS standby,
  (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user) AS superuser,
  (SELECT s.ssl FROM pg_stat_ssl AS s WHERE s.pid = pg_backend_pid()) AS encrypted,
  extract(EPOCH FROM clock_timestamp())::float8 AS at_s,
  current_setting('max_connections')::int AS max_connections,
  (SELECT sum(d.numbackends)::int FROM pg_stat_database AS d) AS connections,
  (SELECT age(d.datfrozenxid) FROM pg_database AS d WHERE d.datname = current_database()) AS transaction_id_age,
  CASE WHEN pg_has_role('pg_read_all_stats', 'USAGE') THEN (
    SELECT coalesce(max(extract(EPOCH FROM clock_timestamp() - a.xact_start)), 0)::float8
    FROM pg_stat_activity AS a
    WHERE a.datname = current_database()
      AND a.pid <> pg_backend_pid()
      AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
  ) END AS oldest_transaction_s;
