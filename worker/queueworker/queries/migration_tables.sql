-- Which of these tables there are.
SELECT c.relname
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'queueworker' AND c.relkind IN ('r', 'p') AND c.relname = ANY (%(tables)s)
ORDER BY c.relname
