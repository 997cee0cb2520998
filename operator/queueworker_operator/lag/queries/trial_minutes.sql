-- List the minutes of a DryRun, oldest first (primary key of `trial_minute`).
SELECT
  extract(EPOCH FROM minute)::float8 AS minute_s,
  record
FROM queueworker.trial_minutes(%(name)s::text, %(since_s)s::float8)
ORDER BY minute;
