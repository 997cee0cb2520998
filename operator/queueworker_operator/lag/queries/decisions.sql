-- List the last decisions of a name, newest first (index: `decision` by name and time).
SELECT
  id,
  extract(EPOCH FROM at)::float8 AS at_s,
  record
FROM queueworker.decisions(%(name)s::text, %(most)s::int)
ORDER BY id DESC;
