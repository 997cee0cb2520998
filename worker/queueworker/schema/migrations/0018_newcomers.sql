-- Where jobs came and none was claimed, a reader counts the newcomers alone.

-- The ready jobs up to a position below which all was decided before they were counted, as were all
-- claims. NULL: too many to count, or a claim may have been open.
ALTER TABLE queueworker.queue_lag_published
  ADD COLUMN settled_pos bigint,
  ADD COLUMN settled_ready bigint,
  ADD COLUMN settled_by_task jsonb;
ALTER TYPE queueworker.counted_lane ADD ATTRIBUTE settled bigint; -- of `ready`, at safe positions

-- As before, and how many of a lane's ready jobs stand at safe positions.
CREATE OR REPLACE FUNCTION queueworker.walk_lanes(q queueworker.queue, passed_position bigint, is_low boolean, cap int)
RETURNS queueworker.counted_lane[]
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
DECLARE
  counted queueworker.counted_lane[];
BEGIN
  EXECUTE format('WITH head AS MATERIALIZED (
      SELECT l.id, l.task, l.floor, l.safe_floor, greatest(l.start_pos, least(c.first_pos - 1, $2)) AS new_floor, c.*
      FROM (
        SELECT id, task, floor, safe_floor, CASE WHEN $4 THEN safe_floor ELSE floor END AS start_pos
        FROM queueworker.lane WHERE queue_id = $1
      ) AS l
      CROSS JOIN LATERAL (
        SELECT min(capped.pos) AS first_pos, max(capped.pos) AS last_pos, count(*) AS ready,
          min(capped.run_at) AS oldest_at, count(*) FILTER (WHERE capped.pos <= $6) AS settled
        FROM (
          SELECT j.pos, j.run_at FROM queueworker.%I AS j
          WHERE j.lane_id = l.id AND j.pos > l.start_pos AND j.pos IS NOT NULL AND j.token = 0
          ORDER BY j.lane_id, j.pos LIMIT $3
        ) AS capped
      ) AS c
    ), moved AS (
      UPDATE queueworker.lane AS l SET floor = h.new_floor, safe_floor = CASE WHEN $5 THEN h.new_floor ELSE h.safe_floor END
      FROM head AS h WHERE l.id = h.id AND (h.floor <> h.new_floor OR $5 AND h.safe_floor <> h.new_floor)
    )
    SELECT array_agg(row(h.id, h.task, h.new_floor, h.first_pos, h.last_pos, h.ready,
      h.oldest_at, h.settled)::queueworker.counted_lane ORDER BY h.id) FROM head AS h', q.part)
    INTO counted USING q.id, passed_position, cap, is_low, cardinality(q.late) = 0, q.safe_position;
  RETURN coalesce(counted, '{}');
END $$;

-- As before, and what is settled.
CREATE OR REPLACE FUNCTION queueworker.publish_lag(
  q queueworker.queue, p queueworker.queue_lag_published, lanes queueworker.counted_lane[], cap int
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  counted queueworker.counted_lane;
  long_lanes int := (SELECT count(*) FROM unnest(lanes) AS l WHERE l.ready >= cap);
  place int := 0;
BEGIN
  FOREACH counted IN ARRAY lanes LOOP
    place := place + 1;
    CONTINUE WHEN counted.ready < cap;
    counted.ready := counted.ready
      + count_backlog(q.part, counted.lane, counted.last_pos, q.safe_position, 20000 / long_lanes);
    lanes[place] := counted;
  END LOOP;
  IF NOT coalesce(p.is_exact, true) THEN
    DELETE FROM lane_backlog AS b USING unnest(lanes) AS l WHERE b.lane_id = l.lane AND l.ready < cap;
  END IF;
  SELECT coalesce(sum(l.ready), 0), long_lanes = 0, min(l.oldest_at) INTO p.ready, p.is_exact, p.oldest_at
  FROM unnest(lanes) AS l;
  p.by_task := coalesce((
    SELECT jsonb_object_agg(t.task, t.ready) FROM (
      SELECT l.task, sum(l.ready)::bigint AS ready FROM unnest(lanes) AS l WHERE l.ready > 0 GROUP BY l.task
    ) AS t), '{}');
  p.settled_pos := CASE WHEN p.is_exact AND p.safe_claimed >= p.claimed AND q.safe_position <= p.entered
    THEN q.safe_position END;
  IF p.settled_pos IS NULL THEN
    p.settled_ready := NULL;
    p.settled_by_task := NULL;
  ELSE
    SELECT coalesce(sum(l.settled), 0) INTO p.settled_ready FROM unnest(lanes) AS l;
    p.settled_by_task := CASE WHEN p.settled_ready = p.ready THEN p.by_task ELSE coalesce((
      SELECT jsonb_object_agg(t.task, t.ready) FROM (
        SELECT l.task, sum(l.settled)::bigint AS ready FROM unnest(lanes) AS l WHERE l.settled > 0 GROUP BY l.task
      ) AS t), '{}') END;
  END IF;
  SELECT a.due_5s, a.scheduled, a.next_due_at INTO p.due_5s, p.scheduled, p.next_due_at FROM count_announced(q) AS a;
  p.is_settled := q.safe_position >= p.entered AND (p.safe_claimed >= p.claimed OR p.ready = 0);
  p.is_due_settled := p.safe_scheduled_id >= p.scheduled_id;
  UPDATE queue_lag_published SET published_at = clock_timestamp(), entered = p.entered,
    requeued = p.requeued, claimed = p.claimed, scheduled_id = p.scheduled_id, is_settled = p.is_settled,
    is_due_settled = p.is_due_settled, ready = p.ready, is_exact = p.is_exact, oldest_at = p.oldest_at,
    by_task = p.by_task, scheduled = p.scheduled, due_5s = p.due_5s, next_due_at = p.next_due_at,
    settled_pos = p.settled_pos, settled_ready = p.settled_ready, settled_by_task = p.settled_by_task,
    tick_claimed = p.tick_claimed, safe_claimed = p.safe_claimed,
    tick_scheduled_id = p.tick_scheduled_id, safe_scheduled_id = p.safe_scheduled_id
  WHERE queue_id = q.id;
  IF NOT FOUND THEN
    p.queue_id := q.id;
    p.published_at := clock_timestamp();
    INSERT INTO queue_lag_published SELECT p.*;
  END IF;
END $$;

-- As before, from a position on.
CREATE OR REPLACE FUNCTION queueworker.lanes_counted_text(part text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  SELECT format('WITH lanes AS (
      SELECT l.task, c.ready < $2 AS is_exact, c.oldest_at,
        CASE WHEN c.ready < $2 THEN c.ready ELSE c.ready
          + ((c.ready - 1) / queueworker.apart(c.first_pos, c.last_pos) * (queueworker.apart(c.last_pos, (
            SELECT j.pos FROM queueworker.%1$I AS j WHERE j.lane_id = l.id AND j.pos IS NOT NULL
            ORDER BY j.lane_id DESC, j.pos DESC LIMIT 1
          ))))::bigint END AS ready
      FROM queueworker.lane AS l
      CROSS JOIN LATERAL (
        SELECT count(*) AS ready, min(capped.run_at) AS oldest_at, min(capped.pos) AS first_pos, max(capped.pos) AS last_pos
        FROM (
          SELECT j.pos, j.run_at FROM queueworker.%1$I AS j
          WHERE j.lane_id = l.id AND j.pos > greatest(l.floor, $3) AND j.pos IS NOT NULL AND j.token = 0
          ORDER BY j.lane_id, j.pos LIMIT $2
        ) AS capped
      ) AS c
      WHERE l.queue_id = $1
    )
    SELECT coalesce(sum(ready), 0)::bigint, coalesce(bool_and(is_exact), true), min(oldest_at),
      coalesce((SELECT jsonb_object_agg(t.task, t.ready) FROM (
        SELECT task, sum(ready)::bigint AS ready FROM lanes WHERE ready > 0 GROUP BY task) AS t), ''{}'')
    FROM lanes', part)
$$;

DROP FUNCTION queueworker.count_default_lanes(int, int);
DO $$
BEGIN
  EXECUTE format('CREATE FUNCTION queueworker.count_default_lanes(of_queue int, cap int, after_pos bigint)
    RETURNS SETOF queueworker.ready_count
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, queueworker, pg_temp
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS %L', format('BEGIN RETURN QUERY %s; END', queueworker.lanes_counted_text('job_default')));
END $$;

-- Ready jobs in lanes behind a position.
CREATE FUNCTION queueworker.count_lanes(q queueworker.queue, cap int, after_pos bigint) RETURNS queueworker.ready_count
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
DECLARE
  counted queueworker.ready_count;
BEGIN
  IF q.part = 'job_default' THEN
    SELECT c.ready, c.is_exact, c.oldest_at, c.by_task INTO counted FROM count_default_lanes(q.id, cap, after_pos) AS c;
  ELSE
    EXECUTE lanes_counted_text(q.part)
      INTO counted.ready, counted.is_exact, counted.oldest_at, counted.by_task USING q.id, cap, after_pos;
  END IF;
  RETURN counted;
END $$;

-- Ready jobs in lanes, now. Where nothing was claimed since the publication (a cancellation counts as
-- a claim), what was settled stands as it stood: what came behind it is counted alone. A long backlog
-- that was published a moment ago is reckoned from what entered and was claimed since.
CREATE OR REPLACE FUNCTION queueworker.count_standing(
  q queueworker.queue, p queueworker.queue_lag_published, entered bigint, cap int
) RETURNS queueworker.ready_count
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
DECLARE
  claimed_since bigint := coalesce(pg_sequence_last_value(q.claimed_sequence), 0) - p.claimed;
  left_of_it bigint := p.ready - claimed_since;
  expected bigint := left_of_it + entered - p.entered;
  counted queueworker.ready_count;
BEGIN
  IF claimed_since = 0 AND p.settled_pos IS NOT NULL THEN
    counted := count_lanes(q, cap, p.settled_pos);
    IF counted.is_exact THEN
      RETURN add_ready(row(p.settled_ready, true, p.oldest_at, p.settled_by_task)::ready_count, counted);
    END IF;
  END IF;
  IF NOT p.is_exact AND expected > 3 * cap AND clock_timestamp() - p.published_at BETWEEN '0' AND '10 s' THEN
    -- Where they are few they cannot matter.
    IF entered - p.entered > expected / 200 THEN
      expected := left_of_it + coalesce(count_entered(q, p.entered), entered - p.entered);
    END IF;
    counted := row(expected, false, p.oldest_at, (
      SELECT jsonb_object_agg(t.key, (t.value::float8 * expected / p.ready)::bigint)
      FROM jsonb_each_text(p.by_task) AS t));
  ELSE
    counted := count_lanes(q, cap, 0);
  END IF;
  RETURN counted;
END $$;
