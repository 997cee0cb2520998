-- Tables of jobs without the index that every claim walks, or every completion; by the catalog's own indexes.
SELECT
  part.relname::text AS part,
  needed.columns
FROM pg_class AS part
JOIN pg_namespace AS n ON n.oid = part.relnamespace AND n.nspname = 'queueworker'
JOIN pg_inherits AS child ON child.inhrelid = part.oid
JOIN pg_class AS parent ON parent.oid = child.inhparent AND parent.relname = 'job'
CROSS JOIN (VALUES ('lane_id, pos'), ('id')) AS needed (columns)
WHERE NOT EXISTS (
  SELECT FROM pg_index AS i
  WHERE i.indrelid = part.oid
    AND i.indisvalid
    AND starts_with(split_part(pg_get_indexdef(i.indexrelid), ' USING btree (', 2), needed.columns)
)
ORDER BY 1, 2
LIMIT 10;
