-- The schema's tables with the most dead rows, as the statistics count them.
SELECT
  t.relname::text AS name,
  t.n_live_tup AS live,
  t.n_dead_tup AS dead,
  pg_relation_size(t.relid) AS size_bytes
FROM pg_stat_user_tables AS t
WHERE t.schemaname = 'queueworker'
ORDER BY t.n_dead_tup DESC, t.relname
LIMIT 5;
