-- What the operator and people read. Columns are published: additive changes only.
CREATE TYPE queueworker.ready_count AS (
  ready bigint,
  is_exact boolean,
  oldest_at timestamptz,
  by_task jsonb
);

-- Jobs that could be claimed now, in one queue: ready rows from the floors on (exact up to the cap,
-- beyond it what entered minus what was claimed), due rows, and rows of workers whose lease is over.
CREATE FUNCTION queueworker.count_ready(q queueworker.queue, cap int = 2000) RETURNS queueworker.ready_count
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
DECLARE
  counted queueworker.ready_count;
  in_lanes bigint;
  capped_lanes int;
  estimate bigint;
BEGIN
  EXECUTE format('WITH standing AS (
      SELECT l.task, c.ready, c.ready >= $2 AS is_capped, c.run_at
      FROM queueworker.lane AS l
      CROSS JOIN LATERAL (
        -- The oldest is not always the first: a released job keeps its age behind younger ones.
        SELECT count(*) AS ready, min(capped.run_at) AS run_at FROM (
          SELECT j.run_at FROM queueworker.%1$I AS j
          WHERE j.lane_id = l.id AND j.pos > l.floor AND j.pos IS NOT NULL AND j.token = 0
          ORDER BY j.lane_id, j.pos LIMIT $2
        ) AS capped
      ) AS c
      WHERE l.queue_id = $1
    ), due AS (
      SELECT l.task, d.run_at FROM (
        SELECT j.lane_id, j.run_at FROM queueworker.%1$I AS j
        WHERE j.queue_id = $1 AND j.pos IS NULL AND j.run_at >= $3 AND j.run_at <= clock_timestamp()
        ORDER BY j.run_at LIMIT $2
      ) AS d JOIN queueworker.lane AS l ON l.id = d.lane_id
    ), lost AS (
      SELECT l.task, j.run_at
      FROM queueworker.claim AS c
      JOIN queueworker.%1$I AS j ON j.id = ANY (c.ids) AND j.token = c.token
      JOIN queueworker.lane AS l ON l.id = j.lane_id
      WHERE c.queue_id = $1 AND NOT EXISTS (
        SELECT FROM queueworker.worker AS w WHERE w.id = c.worker_id AND w.expires_at >= clock_timestamp()
      )
    ), entries AS (
      SELECT task, ready, is_capped, run_at, true AS in_lane FROM standing WHERE ready > 0
      UNION ALL SELECT task, count(*), false, min(run_at), false FROM due GROUP BY task
      UNION ALL SELECT task, count(*), false, min(run_at), false FROM lost GROUP BY task
    ), tasks AS (
      SELECT task, sum(ready)::bigint AS ready FROM entries GROUP BY task
    )
    SELECT coalesce(sum(ready), 0), coalesce(NOT bool_or(is_capped), true), min(run_at),
      coalesce((SELECT jsonb_object_agg(task, ready) FROM tasks), ''{}''),
      coalesce(sum(ready) FILTER (WHERE in_lane), 0), count(*) FILTER (WHERE is_capped)
    FROM entries', q.part)
    INTO counted.ready, counted.is_exact, counted.oldest_at, counted.by_task, in_lanes, capped_lanes
    USING q.id, cap, q.due_from;
  IF counted.is_exact THEN
    RETURN counted;
  END IF;
  estimate := coalesce(pg_sequence_last_value(q.position_sequence), 0) - (q.id::bigint << 40)
    - coalesce(pg_sequence_last_value(q.claimed_sequence), 0) + q.anchor;
  -- What the cap left out stands in the capped lanes; their tasks share it evenly.
  IF estimate > in_lanes THEN
    counted.ready := counted.ready + estimate - in_lanes;
    counted.by_task := (
      SELECT jsonb_object_agg(key, value::bigint
        + CASE WHEN value::bigint >= cap THEN (estimate - in_lanes) / capped_lanes ELSE 0 END)
      FROM jsonb_each_text(counted.by_task)
    );
  END IF;
  RETURN counted;
END $$;

-- Announced jobs: how many become due in each 5 s of the next 300 s (at most 20,000 are looked at).
CREATE FUNCTION queueworker.count_due(q queueworker.queue, OUT due_5s int[], OUT scheduled bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
BEGIN
  EXECUTE format('WITH due AS (
      SELECT floor(extract(epoch FROM run_at - $2) / 5)::int AS bucket, count(*)::int AS jobs
      FROM (
        SELECT run_at FROM queueworker.%1$I
        WHERE queue_id = $1 AND pos IS NULL AND run_at > $2 AND run_at < $2 + interval ''300 s''
        ORDER BY run_at LIMIT 20000
      ) AS soon GROUP BY 1
    ), later AS (
      SELECT count(*) AS jobs FROM (
        SELECT FROM queueworker.%1$I
        WHERE queue_id = $1 AND pos IS NULL AND run_at >= $2 + interval ''300 s''
        ORDER BY run_at LIMIT 2000
      ) AS capped
    )
    SELECT array_agg(coalesce(due.jobs, 0) ORDER BY place.bucket),
      coalesce(sum(due.jobs), 0) + (SELECT jobs FROM later)
    FROM generate_series(0, 59) AS place (bucket) LEFT JOIN due USING (bucket)', q.part)
    INTO due_5s, scheduled USING q.id, clock_timestamp();
END $$;

-- The counters of a queue: rolled up, plus the rows that no sweep has added up yet.
CREATE FUNCTION queueworker.count_events(of_queue int) RETURNS queueworker.queue_counter
LANGUAGE sql STABLE SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
  WITH fresh AS MATERIALIZED (
    SELECT s.* FROM queue AS q JOIN stat AS s ON s.queue_id = q.id AND s.id > q.safe_stat
    WHERE q.id = of_queue
  ), summed AS (
    SELECT coalesce(sum(promoted), 0) AS promoted, coalesce(sum(retried), 0) AS retried,
      coalesce(sum(released), 0) AS released, coalesce(sum(rescued), 0) AS rescued,
      coalesce(sum(started), 0) AS started, coalesce(sum(succeeded), 0) AS succeeded,
      coalesce(sum(failed), 0) AS failed, coalesce(sum(dead), 0) AS dead,
      coalesce(sum(refused), 0) AS refused, coalesce(sum(service_count), 0) AS service_count,
      coalesce(sum(busy_s), 0) AS busy_s, coalesce(sum(service_sum_s), 0) AS service_sum_s,
      coalesce(sum(service_sq_sum_s2), 0) AS service_sq_sum_s2
    FROM fresh
  ), waited AS (
    SELECT w.bucket, sum(w.waits)::bigint AS waits
    FROM fresh, unnest(wait_buckets, wait_counts) AS w (bucket, waits) GROUP BY w.bucket
  )
  SELECT c.queue_id, c.promoted + s.promoted, c.retried + s.retried, c.released + s.released,
    c.rescued + s.rescued, c.started + s.started, c.succeeded + s.succeeded, c.failed + s.failed,
    c.dead + s.dead, c.refused + s.refused, c.service_count + s.service_count, c.busy_s + s.busy_s,
    c.service_sum_s + s.service_sum_s, c.service_sq_sum_s2 + s.service_sq_sum_s2,
    ARRAY(
      SELECT p.waits + coalesce(w.waits, 0)
      FROM unnest(c.waits) WITH ORDINALITY AS p (waits, place)
      LEFT JOIN waited AS w ON w.bucket = p.place - 1 ORDER BY p.place
    )
  FROM queue_counter AS c, summed AS s
  WHERE c.queue_id = of_queue
$$;

-- The live workers of a queue, with what each reports for this queue.
CREATE FUNCTION queueworker.live_workers(of_queue text)
RETURNS TABLE (slots int, busy int, held int, is_draining boolean, tasks text[])
LANGUAGE sql STABLE SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  SELECT w.slots, w.busy_by_queue[array_position(w.queues, of_queue)],
    w.held_by_queue[array_position(w.queues, of_queue)], w.drain OR w.draining, w.tasks
  FROM worker AS w
  WHERE of_queue = ANY (w.queues) AND w.expires_at >= clock_timestamp()
$$;

CREATE FUNCTION queueworker.queue_lag(queues text[])
RETURNS TABLE (
  queue text, sampled_at timestamptz, ready bigint, ready_is_exact bool, oldest_ready_age_s float8,
  running bigint, scheduled bigint, due_5s int[], due_60s bigint, due_300s bigint, dead bigint,
  enqueued_total bigint, promoted_total bigint, retried_total bigint, released_total bigint,
  rescued_total bigint, started_total bigint, succeeded_total bigint, failed_total bigint,
  busy_slot_seconds_total float8, service_count bigint, service_sum_s float8, service_sq_sum_s2 float8,
  wait_histogram bigint[], slots int, busy_slots int, workers int, draining_workers int, paused bool,
  ready_by_task jsonb, worker_tasks text[]
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  SELECT q.name, clock_timestamp(), r.ready + coalesce(w.held, 0), r.is_exact,
    coalesce(greatest(0, extract(epoch FROM clock_timestamp() - r.oldest_at)), 0)::float8,
    coalesce(w.busy, 0), d.scheduled, d.due_5s,
    (SELECT coalesce(sum(jobs), 0) FROM unnest(d.due_5s[1:12]) AS jobs),
    (SELECT coalesce(sum(jobs), 0) FROM unnest(d.due_5s) AS jobs),
    c.dead,
    greatest(0, coalesce(pg_sequence_last_value(q.position_sequence), 0) - (q.id::bigint << 40))
      - coalesce(pg_sequence_last_value(q.requeued_sequence), 0),
    c.promoted, c.retried, c.released, c.rescued, c.started, c.succeeded, c.failed,
    c.busy_s, c.service_count, c.service_sum_s, c.service_sq_sum_s2, c.waits,
    coalesce(w.slots, 0)::int, coalesce(w.busy, 0)::int, coalesce(w.workers, 0)::int,
    coalesce(w.draining, 0)::int, q.paused, r.by_task, coalesce(w.tasks, '{}')
  FROM queueworker.queue AS q
  CROSS JOIN LATERAL count_ready(q) AS r
  CROSS JOIN LATERAL count_due(q) AS d
  CROSS JOIN LATERAL count_events(q.id) AS c
  CROSS JOIN LATERAL (
    SELECT sum(l.slots) AS slots, sum(l.busy) AS busy, sum(l.held) AS held, count(*) AS workers,
      count(*) FILTER (WHERE l.is_draining) AS draining,
      (SELECT array_agg(DISTINCT task ORDER BY task)
        FROM live_workers(q.name) AS each_worker, unnest(each_worker.tasks) AS task) AS tasks
    FROM live_workers(q.name) AS l
  ) AS w
  WHERE q.name = ANY (queues)
  ORDER BY q.name
$$;

CREATE FUNCTION queueworker.worker_state(queues text[])
RETURNS TABLE (
  worker_id uuid, pod text, namespace text, node text, version text, queues text[], tasks text[],
  slots int, busy int, held int, oldest_start_age_s float8, drain bool, draining bool,
  lease_remaining_s float8, started_age_s float8
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  SELECT w.id, w.pod, w.namespace, w.node, w.version, w.queues, w.tasks, w.slots, w.busy, w.held,
    extract(epoch FROM clock_timestamp() - w.oldest_start_at)::float8, w.drain, w.draining,
    extract(epoch FROM w.expires_at - clock_timestamp())::float8,
    extract(epoch FROM clock_timestamp() - w.started_at)::float8
  FROM queueworker.worker AS w
  WHERE w.queues && $1 AND w.expires_at >= clock_timestamp()
  ORDER BY w.started_at, w.id
$$;

-- Every job with its state, for people and dashboards.
CREATE VIEW queueworker.jobs AS
SELECT j.id, q.name AS queue, l.task, l.priority,
  CASE
    WHEN j.token > 0 THEN 'running'
    WHEN j.pos IS NULL AND j.run_at > clock_timestamp() THEN 'scheduled'
    ELSE 'ready'
  END AS state,
  j.attempt, j.max_attempts, j.crash_count, j.run_at, j.created_at, NULL::timestamptz AS died_at,
  j.timeout_s, j.unique_key, j.token, NULL::text AS error, j.args
FROM queueworker.job AS j
JOIN queueworker.lane AS l ON l.id = j.lane_id
JOIN queueworker.queue AS q ON q.id = j.queue_id
UNION ALL
SELECT d.id, q.name, l.task, l.priority, 'dead', d.attempt, d.max_attempts, d.crash_count, d.run_at,
  d.created_at, d.died_at, d.timeout_s, d.unique_key, 0, d.error, d.args
FROM queueworker.dead_job AS d
JOIN queueworker.lane AS l ON l.id = d.lane_id
JOIN queueworker.queue AS q ON q.id = d.queue_id;
