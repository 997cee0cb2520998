-- The age of the oldest transaction that keeps dead rows of this database, in seconds, and the age
-- of its oldest transaction id. Of other roles' sessions only with the rights of pg_read_all_stats.
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - a.xact_start)), 0)::float8,
  (SELECT age(d.datfrozenxid) FROM pg_database AS d WHERE d.datname = current_database())
FROM pg_stat_activity AS a
WHERE a.datname = current_database()
  AND a.pid <> pg_backend_pid()
  AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
