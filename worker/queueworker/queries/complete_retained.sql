-- Move succeeded jobs where (id, token) still matches to the finished ones; the refused pairs come back.
-- By primary key. Like complete_succeeded.sql, for queues that keep what has finished.
WITH entered AS MATERIALIZED (
  SELECT pg_current_xact_id() AS xid
),
given AS (
  SELECT g.id, g.token
  FROM unnest(%(ids)s::bigint[], %(tokens)s::bigint[]) AS g (id, token)
),
succeeded AS (
  DELETE FROM {partition} AS j
  USING given AS g
  WHERE j.id = g.id AND j.token = g.token
  RETURNING j.*
),
kept AS (
  INSERT INTO queueworker.finished_job (id, finished_at, created_at, run_at, claimed_at, timeout_s, lane_id,
    queue_id, attempt, max_attempts, crash_count, worker_id, state, unique_key, args)
  SELECT s.id, clock_timestamp(), s.created_at, s.run_at, c.claimed_at, s.timeout_s, s.lane_id,
    s.queue_id, s.attempt, s.max_attempts, s.crash_count, c.worker_id, 'succeeded', s.unique_key, s.args
  FROM succeeded AS s
  LEFT JOIN queueworker.claim AS c ON c.token = s.token
),
closed AS (
  DELETE FROM queueworker.claim
  WHERE token = ANY (%(closed)s::bigint[])
),
counted AS (
  INSERT INTO queueworker.stat (queue_id, succeeded, refused, started, busy_s, service_count,
    service_sum_s, service_sq_sum_s2, wait_buckets, wait_counts)
  SELECT %(queue_id)s::int, s.jobs, %(count)s::int - s.jobs, %(started)s::int,
    %(busy_s)s::float8, %(service_count)s::int, %(service_sum_s)s::float8,
    %(service_sq_sum_s2)s::float8, %(wait_buckets)s::smallint[], %(wait_counts)s::int[]
  FROM (SELECT count(*)::int AS jobs FROM succeeded) AS s
  WHERE (SELECT xid FROM entered) IS NOT NULL
    AND (%(count)s::int > 0 OR %(started)s::int > 0 OR %(busy_s)s::float8 > 0)
)
SELECT id, token
FROM given
-- The usual case looks no further.
WHERE (SELECT count(*) FROM succeeded) < %(count)s::int
EXCEPT
SELECT id, token
FROM succeeded
