-- Claim a batch: lanes by priority, then by the age of their first ready job; inside a lane in the
-- order of the index (lane_id, pos), from the hint on. The update is HOT (E4): it changes token and
-- attempt alone. ctid is unique because the partition is named. Also counts the claimed rows. A paused
-- queue gives nothing, whatever the worker knows of it, and no more does an id that the queue
-- had before it was moved: a claim noted under that would be found by no rescue.
WITH source AS MATERIALIZED (
  SELECT paused, claimed_sequence
  FROM queueworker.queue
  WHERE id = %(queue_id)s::int
),
head AS (
  SELECT h.lane_id, h.pos, h.priority
  FROM unnest(%(lanes)s::int[], %(hints)s::bigint[], %(priorities)s::smallint[]) AS h (lane_id, pos, priority)
  CROSS JOIN LATERAL (
    SELECT j.pos
    FROM {partition} AS j
    WHERE j.lane_id = h.lane_id AND j.pos > h.pos AND j.pos IS NOT NULL AND j.token = 0
    ORDER BY j.lane_id, j.pos
    LIMIT 1
  ) AS first
  WHERE NOT (SELECT paused FROM source)
  ORDER BY h.priority DESC, first.pos
),
claimed AS (
  UPDATE {partition} AS j
  SET token = (SELECT nextval('queueworker.job_token')),
    attempt = least(attempt, 32766) + 1
  WHERE j.ctid = ANY (ARRAY(
    SELECT ready.ctid
    FROM head AS h
    CROSS JOIN LATERAL (
      SELECT j.ctid
      FROM {partition} AS j
      WHERE j.lane_id = h.lane_id AND j.pos > h.pos AND j.pos IS NOT NULL AND j.token = 0
      ORDER BY j.lane_id, j.pos
      LIMIT %(most)s::int
      FOR UPDATE SKIP LOCKED
    ) AS ready
    LIMIT %(most)s::int
  ))
  RETURNING j.token, j.id, j.lane_id, j.pos, j.attempt, j.max_attempts, j.crash_count, j.timeout_s,
    j.run_at, j.args,
    (%(priorities)s::smallint[])[array_position(%(lanes)s::int[], j.lane_id)] AS priority
),
ordered AS MATERIALIZED (
  SELECT *
  FROM claimed
  ORDER BY priority DESC, pos
),
recorded AS (
  INSERT INTO queueworker.claim (token, worker_id, queue_id, started, ids)
  SELECT min(token), %(worker_id)s::uuid, %(queue_id)s::int, least(%(started)s::int, count(*))::int,
    array_agg(id)
  FROM ordered
  HAVING max(nextval((SELECT claimed_sequence FROM source))) > 0
)
SELECT token, id, lane_id AS lane, pos, attempt, max_attempts, crash_count, timeout_s,
  date_part('epoch', clock_timestamp() - run_at) AS run_at_wait_s, args::text
FROM ordered
