-- Tables of jobs without the index that every claim walks, or every completion: somebody dropped it,
-- or it is invalid. By the catalog's own indexes.
SELECT p.part::text, needed.columns
FROM (SELECT DISTINCT part FROM queueworker.queue UNION SELECT 'job_default') AS p (part)
CROSS JOIN (VALUES ('lane_id, pos'), ('id')) AS needed (columns)
WHERE NOT EXISTS (
  SELECT FROM pg_catalog.pg_index AS i
  WHERE i.indrelid = to_regclass('queueworker.' || quote_ident(p.part))
    AND i.indisvalid
    AND starts_with(split_part(pg_get_indexdef(i.indexrelid), ' USING btree (', 2), needed.columns)
)
ORDER BY 1, 2
LIMIT 10
