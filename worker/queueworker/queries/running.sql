-- Which of these runs are in this table; by primary key.
SELECT j.id, j.token
FROM {partition} AS j
JOIN unnest(%(ids)s::bigint[], %(tokens)s::bigint[]) AS g (id, token)
  ON j.id = g.id AND j.token = g.token
