-- Bound every statement of this session on the server too. No index.
SELECT
  set_config('statement_timeout', %(timeout_ms)s::text, FALSE),
  set_config('lock_timeout', %(timeout_ms)s::text, FALSE);
