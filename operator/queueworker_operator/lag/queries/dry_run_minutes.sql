-- List the minutes of a DryRun, oldest first (primary key of `dry_run_minute`).
SELECT
  extract(EPOCH FROM minute)::float8 AS minute_s,
  record
FROM queueworker.dry_run_minutes(%(name)s::text, %(since_s)s::float8)
ORDER BY minute;
