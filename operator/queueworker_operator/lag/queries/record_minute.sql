-- Store a minute of a DryRun; the same minute again replaces it (primary key of `dry_run_minute`).
SELECT queueworker.record_minute(%(name)s::text, %(minute_s)s::float8, %(record)s::jsonb);
