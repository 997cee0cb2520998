-- Until the transaction ends: statements end before any session that waits for them looks for a circle of waits.
SELECT set_config('statement_timeout', greatest(1, setting::int * 4 / 5)::text, true)
FROM pg_settings WHERE name = 'deadlock_timeout'
