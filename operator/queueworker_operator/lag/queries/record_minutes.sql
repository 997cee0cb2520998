-- Store minutes of DryRuns; the same minute again replaces it (primary key of `dry_run_minute`).
SELECT queueworker.record_minute(given.name, given.minute_s, given.record)
FROM unnest(%(names)s::text[], %(minutes_s)s::float8[], %(records)s::jsonb[])
  WITH ORDINALITY AS given (name, minute_s, record, place)
ORDER BY given.place;
