-- Apply transitions other than success where (id, token) still matches; the refused pairs come back. By primary key.
WITH entered AS MATERIALIZED (
  SELECT pg_current_xact_id() AS xid
),
of_queue AS MATERIALIZED (
  SELECT name, idle, position_sequence, requeued_sequence
  FROM queueworker.queue
  WHERE id = %(queue_id)s::int
),
given AS (
  SELECT g.id, g.token, g.kind, g.delay_s, g.error, g.failure, g.is_guard
  FROM unnest(
    %(ids)s::bigint[], %(tokens)s::bigint[], %(kinds)s::text[],
    %(delays_s)s::float8[], %(errors)s::text[], %(failures)s::text[], %(guards)s::bool[]
  ) AS g (id, token, kind, delay_s, error, failure, is_guard)
),
retried AS (
  UPDATE {partition} AS j
  SET token = 0,
    pos = NULL,
    crash_count = crash_count + (g.failure = 'crash')::int,
    run_at = clock_timestamp() + make_interval(secs => g.delay_s)
  FROM given AS g
  WHERE j.id = g.id AND j.token = g.token AND g.kind = 'retry'
  RETURNING j.id, j.attempt, g.token, g.failure, g.error
),
released AS (
  -- The transaction has its id before a pos is drawn (E3); re-entries are counted apart, first.
  UPDATE {partition} AS j
  SET token = 0,
    attempt = attempt - 1,
    pos = 0 * nextval((SELECT requeued_sequence FROM of_queue))
      + nextval((SELECT position_sequence FROM of_queue)),
    -- Without a start it has waited all the time.
    run_at = CASE WHEN g.kind = 'release' THEN j.run_at ELSE clock_timestamp() END
  FROM given AS g
  WHERE j.id = g.id AND j.token = g.token AND g.kind IN ('release', 'release_started')
    AND (SELECT xid FROM entered) IS NOT NULL
  RETURNING j.id, g.token
),
died AS (
  DELETE FROM {partition} AS j
  USING given AS g
  WHERE j.id = g.id AND j.token = g.token AND g.kind = 'dead'
  RETURNING j.*, g.failure, g.error
),
buried AS (
  INSERT INTO queueworker.dead_job (id, created_at, run_at, timeout_s, lane_id, queue_id, attempt,
    max_attempts, crash_count, kind, error, unique_key, args)
  SELECT id, created_at, run_at, timeout_s, lane_id, queue_id, attempt,
    max_attempts, crash_count + (failure = 'crash')::int, failure, error, unique_key, args
  FROM died
),
noted AS (
  INSERT INTO queueworker.failure (job_id, queue_id, attempt, token, worker_id, kind, error)
  SELECT f.id, %(queue_id)s::int, f.attempt, f.token,
    (SELECT c.worker_id FROM queueworker.claim AS c WHERE c.token = f.token), f.failure, f.error
  FROM (
    SELECT id, attempt, token, failure, error FROM retried
    UNION ALL
    SELECT id, attempt, token, failure, error FROM died
  ) AS f
),
changed AS (
  SELECT id, token FROM retried
  UNION ALL
  SELECT id, token FROM released
  UNION ALL
  SELECT id, token FROM died
),
counted AS (
  INSERT INTO queueworker.stat (queue_id, retried, released, dead, failed, refused)
  SELECT %(queue_id)s::int, s.retried, s.released, s.died, s.retried + s.died,
    -- A guard is refused where all is well.
    cardinality(%(ids)s::bigint[]) - s.changed - s.needless
  FROM (
    SELECT (SELECT count(*)::int FROM retried) AS retried,
      (SELECT count(*)::int FROM released) AS released,
      (SELECT count(*)::int FROM died) AS died,
      (SELECT count(*)::int FROM changed) AS changed,
      (
        SELECT count(*)::int
        FROM (
          SELECT id, token FROM given WHERE is_guard
          EXCEPT
          SELECT id, token FROM changed
        ) AS e
      ) AS needless
  ) AS s
  WHERE (SELECT xid FROM entered) IS NOT NULL
),
told AS (
  -- Others sleep until an enqueue, which does not come.
  SELECT pg_notify('queueworker', 'job:' || name)
  FROM of_queue
  WHERE idle AND EXISTS (SELECT FROM released)
)
SELECT id, token
FROM given
WHERE (SELECT count(*) FROM told) >= 0
EXCEPT
SELECT id, token
FROM changed
