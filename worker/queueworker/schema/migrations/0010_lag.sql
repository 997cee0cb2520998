-- The lag, published by the sweep and read in one query for any number of queues; promotion that
-- keeps up with a burst; a rescue that neither a jumping clock nor a long snapshot misleads.

-- One row a queue, rewritten in place by each sweep. Everything in it was true at its time; the
-- values of the sequences were read before the counts, so a reader sees whether it still is.
CREATE TABLE queueworker.queue_lag_published (
  queue_id int PRIMARY KEY REFERENCES queueworker.queue ON DELETE CASCADE,
  published_at timestamptz NOT NULL,
  entered bigint NOT NULL,
  requeued bigint NOT NULL,                         -- read after entered: see queue_lag
  claimed bigint NOT NULL,
  scheduled_id bigint NOT NULL,
  is_settled boolean NOT NULL,                      -- all entries and claims up to these were decided
  is_due_settled boolean NOT NULL,                  -- the same for scheduled jobs
  ready bigint NOT NULL,                            -- standing in lanes
  is_exact boolean NOT NULL,
  oldest_at timestamptz,
  by_task jsonb NOT NULL,
  scheduled bigint NOT NULL,
  due_5s int[],                                     -- NULL: nothing becomes due in 300 s
  next_due_at timestamptz,
  tick_claimed bigint NOT NULL,                     -- as queue.tick_position and safe_position
  safe_claimed bigint NOT NULL,
  tick_scheduled_id bigint NOT NULL,
  safe_scheduled_id bigint NOT NULL
) WITH (fillfactor = 50);

-- A lane with more ready jobs than a sweep counts: each stretch of positions behind the head was
-- counted once, when its last position was decided. Jobs enter behind it and leave at its front.
CREATE TABLE queueworker.lane_backlog (
  lane_id int PRIMARY KEY REFERENCES queueworker.lane ON DELETE CASCADE,
  start_pos bigint NOT NULL,                        -- the first stretch begins after this
  ends bigint[] NOT NULL,
  counts int[] NOT NULL,                            -- parallel to ends
  checked int NOT NULL                              -- the stretch that was counted again last
) WITH (fillfactor = 50);

-- One row: when rescue looked last, and until when it holds back.
CREATE TABLE queueworker.rescue_state (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  looked_at timestamptz NOT NULL DEFAULT '-infinity',
  scan_at timestamptz NOT NULL DEFAULT '-infinity', -- when to look for claims without a worker again
  held_until timestamptz,                           -- leases are over that may not be: see judge_leases
  held_reason text
) WITH (fillfactor = 50);
INSERT INTO queueworker.rescue_state DEFAULT VALUES;

-- Leases

-- Whether leases that are over by the clock may be ended. They are held back for one renewal
-- (a third of the time to live, and a second) when the clock itself is in doubt:
--  * nobody looked for most of a lease: the clock was set forward, or the server stood still;
--  * more than two workers and more than a fifth of all are over at once.
-- A worker that lives renews meanwhile: it may, as long as nobody has ended its lease.
CREATE FUNCTION queueworker.judge_leases(was queueworker.rescue_state, now_at timestamptz)
RETURNS queueworker.rescue_state
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  over int;
  workers int;
  ttl interval;
  reason text;
BEGIN
  -- A renewal of the future: the clock was set back. Such a lease would last for the difference.
  UPDATE worker SET expires_at = now_at + (expires_at - renewed_at), renewed_at = now_at
  WHERE renewed_at > now_at + interval '1 s';
  SELECT count(*) FILTER (WHERE expires_at < now_at), count(*),
    max(expires_at - renewed_at) FILTER (WHERE expires_at < now_at)
  INTO over, workers, ttl FROM worker;
  IF over = 0 OR was.held_until IS NOT NULL THEN
    -- What is over after a hold is over. A hold of the far future: the clock was set back.
    IF over = 0 OR was.held_until <= now_at OR was.held_until > now_at + interval '1 day' THEN
      was.held_until := NULL;
      was.held_reason := NULL;
    END IF;
  ELSE
    reason := CASE
      WHEN isfinite(was.looked_at) AND now_at - was.looked_at > greatest(0.6 * ttl, interval '3 s')
        THEN format('nobody had looked for %s s', round(extract(epoch FROM now_at - was.looked_at)))
      WHEN over > greatest(2, 0.2 * workers)
        THEN format('%s of %s leases were over at once', over, workers)
    END;
    IF reason IS NOT NULL THEN
      was.held_until := now_at + ttl / 3 + interval '1 s';
      was.held_reason := reason;
      RAISE WARNING USING MESSAGE = format('queueworker: no lease is ended before %s: %s', was.held_until, reason),
        HINT = 'The clock of the server may have been set, or a node with many workers is gone.';
    END IF;
  END IF;
  was.looked_at := now_at;
  RETURN was;
END $$;

-- Ends leases, by one at a time; the others need not wait for it.
CREATE OR REPLACE FUNCTION queueworker.remove_expired_workers() RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  judged queueworker.rescue_state;
  now_at timestamptz := clock_timestamp();
  removed int := 0;
BEGIN
  SELECT * INTO judged FROM rescue_state FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN 0;
  END IF;
  judged := judge_leases(judged, now_at);
  UPDATE rescue_state SET looked_at = judged.looked_at, held_until = judged.held_until,
    held_reason = judged.held_reason;
  IF judged.held_until IS NULL THEN
    DELETE FROM worker WHERE id IN (
      SELECT id FROM worker WHERE expires_at < clock_timestamp() FOR UPDATE SKIP LOCKED
    ) AND expires_at < clock_timestamp();
    GET DIAGNOSTICS removed = ROW_COUNT;
  END IF;
  RETURN removed;
END $$;

-- Locks the rows of a lost claim, or fails at once: what another transaction holds is not waited for.
CREATE FUNCTION queueworker.hold_lost(lost queueworker.claim, part text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
BEGIN
  EXECUTE format('SELECT FROM queueworker.%I WHERE id = ANY ($1) AND token = $2 FOR UPDATE NOWAIT', part)
    USING lost.ids, lost.token;
END $$;

-- A claim without its worker's row: also one that a zombie made after its row was removed. In any
-- order and for a few seconds at most: what is left or held by others is for a later sweep.
CREATE FUNCTION queueworker.rescue_claims() RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp SET lock_timeout = '100 ms'
AS $$
DECLARE
  ends_at timestamptz := clock_timestamp() + interval '5 s';
  tried_at timestamptz;
  found record;
  locked_parts text[] := '{}';
  rescued int := 0;
BEGIN
  FOR found IN
    SELECT c AS lost, q.part FROM claim AS c JOIN queue AS q ON q.id = c.queue_id
    WHERE NOT EXISTS (SELECT FROM worker AS w WHERE w.id = c.worker_id)
    ORDER BY random() FOR UPDATE OF c SKIP LOCKED
  LOOP
    tried_at := clock_timestamp();
    EXIT WHEN tried_at > ends_at;
    CONTINUE WHEN found.part = ANY (locked_parts);
    BEGIN
      PERFORM hold_lost(found.lost, found.part);
      rescued := rescued + rescue_claim(found.lost);
    EXCEPTION WHEN lock_not_available THEN
      IF clock_timestamp() > tried_at + interval '50 ms' THEN
        locked_parts := locked_parts || found.part; -- the table itself: once a round is enough
      END IF;
    END;
  END LOOP;
  RETURN rescued;
END $$;

CREATE OR REPLACE FUNCTION queueworker.rescue() RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  PERFORM pg_current_xact_id(); -- E3
  PERFORM remove_expired_workers();
  RETURN rescue_claims();
END $$;

-- The rescue of a sweep: all queues of a database need but one a second. Under a long snapshot the
-- table of claims keeps its dead rows: walking it gets 2 % of the time, unless a worker went.
CREATE FUNCTION queueworker.rescue_by_sweep() RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  state queueworker.rescue_state;
  began_at timestamptz := clock_timestamp();
  rescued int;
BEGIN
  SELECT * INTO state FROM rescue_state
  WHERE looked_at < began_at - interval '0.4 s' OR looked_at > began_at FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN 0;
  END IF;
  IF remove_expired_workers() = 0 AND began_at BETWEEN state.scan_at - interval '10 s' AND state.scan_at THEN
    RETURN 0;
  END IF;
  began_at := clock_timestamp();
  rescued := rescue_claims();
  UPDATE rescue_state SET scan_at = clock_timestamp()
    + greatest(interval '0.4 s', least(interval '5 s', 50 * (clock_timestamp() - began_at)));
  RETURN rescued;
END $$;

-- Pods that are gone need no time to live, and no hold: somebody knows that they are gone.
CREATE OR REPLACE FUNCTION queueworker.end_lease(pods text[]) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  PERFORM pg_current_xact_id(); -- E3
  DELETE FROM worker AS w
  WHERE w.pod <> '' AND (w.pod = ANY (pods) OR w.namespace || '/' || w.pod = ANY (pods))
    AND w.started_at < clock_timestamp() - interval '5 s';
  RETURN rescue_claims();
END $$;

-- Promotion

-- Make one batch of due jobs ready; the oldest first. A full batch says that there may be more.
CREATE FUNCTION queueworker.promote(q queueworker.queue, due_after timestamptz, most int,
  OUT promoted int, OUT last_due timestamptz)
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
BEGIN
  PERFORM pg_current_xact_id(); -- E3
  EXECUTE format('WITH due AS (
      SELECT ctid FROM queueworker.%1$I
      -- The time is a parameter: a volatile function would make the scan walk all that is scheduled.
      WHERE queue_id = $1 AND pos IS NULL AND run_at <= $6 AND run_at >= $2
      ORDER BY run_at LIMIT $3 FOR UPDATE SKIP LOCKED
    ), promoted AS (
      UPDATE queueworker.%1$I SET pos = 0 * nextval($4) + nextval($5)
      WHERE ctid = ANY (ARRAY(SELECT ctid FROM due)) RETURNING run_at
    ) SELECT count(*), max(run_at) FROM promoted', q.part)
    INTO promoted, last_due
    USING q.id, due_after, most, q.requeued_sequence, q.position_sequence, clock_timestamp();
  IF promoted > 0 THEN
    INSERT INTO stat (queue_id, promoted) VALUES (q.id, promote.promoted);
    IF q.idle THEN
      PERFORM pg_notify('queueworker', 'job:' || q.name);
    END IF;
  END IF;
END $$;

-- After a sweep with a full batch: the next one, in a transaction of its own, so that the first
-- jobs of a burst can run while the last are promoted. Holds no lock but on the rows it promotes.
CREATE FUNCTION queueworker.promote_more(of_queue int, most int = 5000) RETURNS int
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  SELECT p.promoted FROM queue AS q CROSS JOIN LATERAL promote(q, q.due_from, most) AS p WHERE q.id = of_queue
$$;

-- Counting

-- How many positions lie between two; a queue that moved goes on with the same count in another range.
-- Its names are bound here and now: a search path of its own would keep it from being inlined.
CREATE FUNCTION queueworker.apart(from_pos bigint, to_pos bigint) RETURNS float8
LANGUAGE sql IMMUTABLE
RETURN greatest(1, (to_pos & 1099511627775) - (from_pos & 1099511627775))::float8;

-- The ready jobs of a lane after the head that a sweep has counted. Each stretch of decided
-- positions is counted once and remembered; what is not decided yet is counted each time. More
-- than 5,000 of those (a bulk load, a long transaction) are reckoned from how dense the first are.
CREATE FUNCTION queueworker.count_backlog(
  part text, of_lane int, after_pos bigint, decided_pos bigint, most int
) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
DECLARE
  walk text := format('SELECT j.pos FROM queueworker.%I AS j
    WHERE j.lane_id = $1 AND j.pos > $2 AND j.pos <= $3 AND j.pos IS NOT NULL AND j.token = 0
    ORDER BY j.lane_id, j.pos LIMIT $4', part);
  b queueworker.lane_backlog;
  is_known boolean;
  passed int;
  total bigint;
  mark bigint;
  new_ends bigint[];
  new_counts int[];
  jobs bigint;
  last_pos bigint;
  end_pos bigint;
BEGIN
  SELECT * INTO b FROM lane_backlog WHERE lane_id = of_lane;
  is_known := FOUND;
  IF NOT is_known OR after_pos < b.start_pos AND cardinality(b.ends) > 0 THEN
    -- New, or jobs that committed late stand before what was counted.
    b := row(of_lane, after_pos, '{}', '{}', 0);
  END IF;
  passed := (SELECT count(*) FROM unnest(b.ends) AS stretch_end WHERE stretch_end <= after_pos);
  IF passed > 0 THEN
    b.start_pos := b.ends[passed];
    b.ends := b.ends[passed + 1:];
    b.counts := b.counts[passed + 1:];
  END IF;
  IF cardinality(b.ends) = 0 THEN
    b.start_pos := after_pos;
  END IF;
  total := (SELECT coalesce(sum(jobs_in), 0) FROM unnest(b.counts) AS jobs_in);
  mark := coalesce(b.ends[cardinality(b.ends)], after_pos);
  IF decided_pos > mark THEN
    EXECUTE format('SELECT array_agg(last_pos ORDER BY last_pos), array_agg(jobs ORDER BY last_pos), sum(jobs)
      FROM (
        SELECT max(pos) AS last_pos, count(*)::int AS jobs
        FROM (SELECT pos, (row_number() OVER () - 1) / $5 AS stretch FROM (%s) AS walked) AS numbered
        GROUP BY stretch
      ) AS stretches', walk)
      INTO new_ends, new_counts, jobs
      USING of_lane, mark, decided_pos, most, greatest(2000, total / 64);
    IF jobs < most THEN
      new_ends[cardinality(new_ends)] := decided_pos;
    END IF;
    IF b.counts[cardinality(b.counts)] + new_counts[1] <= greatest(2000, total / 64) THEN
      new_counts[1] := b.counts[cardinality(b.counts)] + new_counts[1];
      b.ends := trim_array(b.ends, 1);
      b.counts := trim_array(b.counts, 1);
    END IF;
    b.ends := b.ends || coalesce(new_ends, '{}');
    b.counts := b.counts || coalesce(new_counts, '{}');
    total := total + coalesce(jobs, 0);
    mark := coalesce(b.ends[cardinality(b.ends)], mark);
  END IF;
  IF cardinality(b.ends) > 128 THEN
    SELECT array_agg(stretch_end ORDER BY stretch_end), array_agg(jobs_in ORDER BY stretch_end)
    INTO b.ends, b.counts FROM (
      SELECT max(u.stretch_end) AS stretch_end, sum(u.jobs_in)::int AS jobs_in
      FROM unnest(b.ends, b.counts) WITH ORDINALITY AS u (stretch_end, jobs_in, place)
      GROUP BY (u.place - 1) / 2
    ) AS pairs;
  END IF;
  -- Jobs that left elsewhere than at the front (cancelled, purged) are noticed stretch by stretch.
  b.checked := CASE WHEN b.checked + 1 < cardinality(b.ends) THEN b.checked + 1 ELSE 1 END;
  IF cardinality(b.ends) > 1 AND random() * b.counts[b.checked + 1] < 10000 THEN
    EXECUTE format('SELECT count(*) FROM (%s) AS walked', walk) INTO jobs
      USING of_lane, b.ends[b.checked], b.ends[b.checked + 1], 1000000;
    total := total + jobs - b.counts[b.checked + 1];
    b.counts[b.checked + 1] := jobs;
  END IF;
  -- The first stretch, which the head's end lies in, is counted anew from there; what is beyond
  -- 10,000 jobs of it is taken to be as dense as the whole.
  IF cardinality(b.ends) > 0 AND after_pos > b.start_pos THEN
    EXECUTE format('SELECT count(*), max(pos) FROM (%s) AS walked', walk) INTO jobs, last_pos
      USING of_lane, after_pos, b.ends[1], 10000;
    total := total - b.counts[1] + jobs + CASE WHEN jobs < 10000 THEN 0
      ELSE (b.counts[1] * apart(last_pos, b.ends[1]) / apart(b.start_pos, b.ends[1]))::bigint END;
  END IF;
  EXECUTE format('SELECT count(*), max(pos) FROM (%s) AS walked', walk) INTO jobs, last_pos
    USING of_lane, mark, 9223372036854775807, 5000;
  IF jobs = 5000 THEN
    EXECUTE format('SELECT pos FROM queueworker.%I WHERE lane_id = $1 AND pos IS NOT NULL
      ORDER BY lane_id DESC, pos DESC LIMIT 1', part) INTO end_pos USING of_lane;
    jobs := jobs * apart(mark, end_pos) / apart(mark, last_pos);
  END IF;
  IF is_known THEN
    UPDATE lane_backlog SET start_pos = b.start_pos, ends = b.ends, counts = b.counts, checked = b.checked
    WHERE lane_id = of_lane;
  ELSE
    INSERT INTO lane_backlog SELECT b.*;
  END IF;
  RETURN total + jobs;
END $$;

CREATE TYPE queueworker.counted_lane AS (
  lane int,
  task text,
  floor bigint,
  first_pos bigint,
  last_pos bigint,                                  -- of those that were counted
  ready bigint,
  oldest_at timestamptz
);

-- Look at every lane of a queue from its floor on, up to `cap` ready jobs each, and raise floors up to
-- the last position that is decided; with `is_low` from the safe floor on, and floors may come down.
-- The oldest is not always the first: a released job keeps its age behind younger ones.
CREATE FUNCTION queueworker.walk_lanes(q queueworker.queue, passed_position bigint, is_low boolean, cap int)
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
          min(capped.run_at) AS oldest_at
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
      h.oldest_at)::queueworker.counted_lane ORDER BY h.id) FROM head AS h', q.part)
    INTO counted USING q.id, passed_position, cap, is_low, cardinality(q.late) = 0;
  RETURN coalesce(counted, '{}');
END $$;

-- Announced jobs: how many become due in each 5 s of the next 300 s (at most 20,000 are looked at),
-- and the first of all. NULL instead of 60 zeros.
CREATE FUNCTION queueworker.count_announced(
  q queueworker.queue, OUT due_5s int[], OUT scheduled bigint, OUT next_due_at timestamptz
)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
DECLARE
  now_at timestamptz := clock_timestamp();
BEGIN
  EXECUTE format('SELECT run_at FROM queueworker.%I WHERE queue_id = $1 AND pos IS NULL AND run_at >= $2
    ORDER BY run_at LIMIT 1', q.part) INTO next_due_at USING q.id, q.due_from;
  scheduled := 0;
  IF next_due_at IS NULL THEN
    RETURN;
  END IF;
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
    SELECT CASE WHEN count(due.jobs) > 0 THEN array_agg(coalesce(due.jobs, 0) ORDER BY place.bucket) END,
      coalesce(sum(due.jobs), 0) + (SELECT jobs FROM later)
    FROM generate_series(0, 59) AS place (bucket) LEFT JOIN due USING (bucket)', q.part)
    INTO due_5s, scheduled USING q.id, now_at;
END $$;

-- Whether as many jobs are scheduled as was published, at most 100, and none within 300 s. Most
-- queues stand in job_default: for them the plan is kept.
CREATE FUNCTION queueworker.is_scheduled_still(
  of_queue int, part text, due_after timestamptz, published bigint, now_at timestamptz
) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  jobs bigint;
  first_at timestamptz;
BEGIN
  IF published > 100 THEN
    RETURN false;
  ELSIF part = 'job_default' THEN
    SELECT count(*), min(run_at) INTO jobs, first_at FROM (
      SELECT run_at FROM job_default WHERE queue_id = of_queue AND pos IS NULL AND run_at >= due_after
      ORDER BY run_at LIMIT 101
    ) AS soonest;
  ELSE
    EXECUTE format('SELECT count(*), min(run_at) FROM (
        SELECT run_at FROM queueworker.%I WHERE queue_id = $1 AND pos IS NULL AND run_at >= $2
        ORDER BY run_at LIMIT 101
      ) AS soonest', part) INTO jobs, first_at USING of_queue, due_after;
  END IF;
  RETURN jobs = published AND (first_at > now_at + interval '300 s') IS NOT FALSE;
END $$;

CREATE TYPE queueworker.announced AS (due_5s int[], scheduled bigint);

-- The sweep

-- Count a queue and publish what was found; the caller holds the queue's row and has read `p` the
-- sequences before it counted.
CREATE FUNCTION queueworker.publish_lag(
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
  SELECT a.due_5s, a.scheduled, a.next_due_at INTO p.due_5s, p.scheduled, p.next_due_at FROM count_announced(q) AS a;
  p.is_settled := q.safe_position >= p.entered AND (p.safe_claimed >= p.claimed OR p.ready = 0);
  p.is_due_settled := p.safe_scheduled_id >= p.scheduled_id;
  UPDATE queue_lag_published SET published_at = clock_timestamp(), entered = p.entered,
    requeued = p.requeued, claimed = p.claimed, scheduled_id = p.scheduled_id, is_settled = p.is_settled,
    is_due_settled = p.is_due_settled, ready = p.ready, is_exact = p.is_exact, oldest_at = p.oldest_at,
    by_task = p.by_task, scheduled = p.scheduled, due_5s = p.due_5s, next_due_at = p.next_due_at,
    tick_claimed = p.tick_claimed, safe_claimed = p.safe_claimed,
    tick_scheduled_id = p.tick_scheduled_id, safe_scheduled_id = p.safe_scheduled_id
  WHERE queue_id = q.id;
  IF NOT FOUND THEN
    p.queue_id := q.id;
    p.published_at := clock_timestamp();
    INSERT INTO queue_lag_published SELECT p.*;
  END IF;
END $$;

-- What was drawn from a queue's sequences. It is a proof if its reader gets its transaction id
-- afterwards: whoever drew a value up to there has a lower one (E3).
CREATE TYPE queueworker.drawn AS (
  queue_id int,
  position bigint,
  claimed bigint,
  scheduled_id bigint,
  stat bigint,
  is_proof boolean
);

CREATE FUNCTION queueworker.read_drawn(of_queue int) RETURNS queueworker.drawn
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  seen queueworker.drawn;
BEGIN
  SELECT id, coalesce(pg_sequence_last_value(position_sequence), id::bigint << 40),
    coalesce(pg_sequence_last_value(claimed_sequence), 0),
    coalesce(pg_sequence_last_value('queueworker.job_scheduled_id'), 0),
    coalesce(pg_sequence_last_value('queueworker.stat_id_seq'), 0),
    pg_current_xact_id_if_assigned() IS NULL
  INTO seen FROM queue WHERE id = of_queue;
  RETURN seen;
END $$;

-- Whether a sweep would find what the last one published: nothing was ready, nothing was drawn since,
-- everything drawn before was decided before that count, no event waits to be added up, and what is
-- scheduled is the same and minutes away. Every 15 to 30 s it says no, so that nothing that was not
-- thought of here stays overlooked. A sweep of such a queue writes nothing.
CREATE FUNCTION queueworker.stands_still(seen queueworker.drawn, now_at timestamptz) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  last record;
  is_still boolean;
BEGIN
  SELECT q.part, q.due_from, now_at > q.due_full_at AS is_full, p.scheduled INTO last
  FROM queue AS q JOIN queue_lag_published AS p ON p.queue_id = q.id
  WHERE q.id = seen.queue_id
    AND q.swept_at BETWEEN now_at - (15 + q.id % 16) * interval '1 s' AND now_at
    AND p.is_settled AND p.ready = 0 AND p.entered = seen.position AND p.claimed = seen.claimed
    AND p.due_5s IS NULL AND cardinality(q.late) = 0
    AND NOT EXISTS (SELECT FROM stat AS s WHERE s.queue_id = seen.queue_id AND s.id > q.safe_stat);
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  is_still := is_scheduled_still(seen.queue_id, last.part,
    CASE WHEN last.is_full THEN '-infinity' ELSE last.due_from END, last.scheduled, now_at);
  -- A walk over many dead entries (under a long snapshot) is for the sweep, which limits its share of time.
  RETURN is_still AND NOT (last.is_full AND clock_timestamp() - now_at > interval '5 ms');
END $$;

-- The transactions that may have drawn from a queue's sequences before its tick, and may still commit:
-- those as old as the tick that hold a sequence. nextval locks it until the transaction's end,
-- before it draws, and a commit is seen before its locks are gone. So what others write, and for how
-- long, is no matter. NULL: unknown, as this transaction's snapshot is older than the locks seen.
-- A transaction that is being prepared hands its locks over one by one: prepared ones always count.
CREATE FUNCTION queueworker.open_drawers(q queueworker.queue, own xid8) RETURNS xid8[]
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  age_of_tick bigint := own::text::bigint - q.tick_xid::text::bigint;
  found xid8[];
BEGIN
  IF pg_snapshot_xmin(pg_current_snapshot()) > q.tick_xid THEN
    RETURN '{}';
  ELSIF age_of_tick <= 0 OR current_setting('transaction_isolation') <> 'read committed' THEN
    RETURN NULL;
  END IF;
  WITH held AS MATERIALIZED (
    SELECT l.virtualtransaction AS holder, l.pid, l.locktype = 'relation' AS is_sequence,
      -- How much older than this transaction; what began after it seems to be far older.
      own::text::bigint - l.transactionid::text::bigint & 4294967295 AS age
    FROM pg_locks AS l
    WHERE l.granted AND (l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock'
      OR l.locktype = 'relation' AND l.mode = 'RowExclusiveLock'
        AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
        AND l.relation IN (q.position_sequence, q.claimed_sequence, 'queueworker.job_scheduled_id'::regclass,
          'queueworker.stat_id_seq'::regclass))
  ), drawer AS (
    SELECT h.holder, h.pid FROM held AS h WHERE h.is_sequence
  )
  SELECT coalesce(array_agg((own::text::bigint - h.age)::text::xid8), '{}') INTO found FROM held AS h
  WHERE h.age BETWEEN age_of_tick AND 2147483647
    AND (h.pid IS NULL OR h.holder IN (SELECT d.holder FROM drawer AS d))
  HAVING NOT EXISTS (SELECT FROM drawer AS d WHERE d.pid IS NULL
    AND NOT EXISTS (SELECT FROM held AS x WHERE x.holder = d.holder AND NOT x.is_sequence));
  RETURN found;
END $$;

-- Once a second per queue, by whoever gets its row; the others are told the floors alone.
-- A tick waits 3 s for the transactions that may have drawn before it. Longer ones become *late*: floors
-- pass their positions by, and when one has ended, all is walked once from the safe floors, which
-- none has passed. Such walks get 5 % of the time.
CREATE FUNCTION queueworker.sweep_drawn(seen queueworker.drawn, lanes int[], most int)
RETURNS SETOF queueworker.swept_lane
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  cap CONSTANT int := 2000;
  q queueworker.queue;
  p queueworker.queue_lag_published;
  now_at timestamptz;
  xid xid8;
  drawers xid8[];
  passed_position bigint;
  is_low boolean := false;
  is_full boolean;
  due_count int;
  last_due timestamptz;
  rolled_up_to bigint;
  walked_from timestamptz;
  counted queueworker.counted_lane[];
BEGIN
  PERFORM rescue_by_sweep();
  now_at := clock_timestamp();
  IF NOT stands_still(seen, now_at) THEN
    SELECT * INTO q FROM queue
    -- A time of the future: the server's clock was set back.
    WHERE id = seen.queue_id AND (swept_at < now_at - interval '0.4 s' OR swept_at > now_at)
    FOR NO KEY UPDATE SKIP LOCKED;
  END IF;
  IF q.id IS NULL THEN
    RETURN QUERY SELECT l.id, l.floor, NULL::bigint, 0 FROM queueworker.lane AS l WHERE l.id = ANY (lanes);
    RETURN;
  END IF;
  SELECT * INTO p FROM queue_lag_published WHERE queue_id = q.id;
  rolled_up_to := q.passed_stat;
  -- An id above every transaction that drew a value up to there (E3).
  xid := pg_current_xact_id();
  drawers := open_drawers(q, xid);
  passed_position := q.safe_position;
  IF drawers <@ q.late OR drawers IS NOT NULL AND now_at NOT BETWEEN q.tick_at AND q.tick_at + interval '3 s' THEN
    passed_position := q.tick_position;
    is_low := NOT q.late <@ drawers AND now_at NOT BETWEEN q.low_from - interval '10 min' AND q.low_from;
    q.late := CASE WHEN is_low THEN drawers
      ELSE ARRAY(SELECT unnest(q.late) UNION SELECT unnest(drawers)) END;
    -- This sweep is the first that is sure to see all stat rows up to the last tick's bound; only
    -- the next one may start after it.
    rolled_up_to := CASE WHEN is_low THEN q.safe_stat ELSE q.passed_stat END;
    q.passed_stat := q.tick_stat;
    IF cardinality(q.late) = 0 THEN
      q.safe_position := q.tick_position;
      q.safe_stat := q.tick_stat;
      p.safe_claimed := p.tick_claimed;
      p.safe_scheduled_id := p.tick_scheduled_id;
    END IF;
    IF seen.is_proof THEN
      q.tick_position := greatest(q.tick_position, seen.position);
      p.tick_claimed := greatest(p.tick_claimed, seen.claimed);
      p.tick_scheduled_id := greatest(p.tick_scheduled_id, seen.scheduled_id);
      q.tick_stat := greatest(q.tick_stat, seen.stat);
      q.tick_xid := xid;
      q.tick_at := now_at;
    END IF;
  END IF;
  is_full := now_at > q.due_full_at OR q.swept_at > now_at;
  SELECT promoted, d.last_due INTO due_count, last_due
  FROM promote(q, CASE WHEN is_full THEN '-infinity' ELSE q.due_from END, most) AS d;
  PERFORM roll_up(q.id, rolled_up_to);
  p.entered := coalesce(pg_sequence_last_value(q.position_sequence), q.id::bigint << 40);
  p.requeued := coalesce(pg_sequence_last_value(q.requeued_sequence), 0);
  p.claimed := coalesce(pg_sequence_last_value(q.claimed_sequence), 0);
  p.scheduled_id := seen.scheduled_id;
  p.tick_claimed := coalesce(p.tick_claimed, 0);
  p.safe_claimed := coalesce(p.safe_claimed, 0);
  p.tick_scheduled_id := coalesce(p.tick_scheduled_id, 0);
  p.safe_scheduled_id := coalesce(p.safe_scheduled_id, 0);
  walked_from := clock_timestamp();
  counted := walk_lanes(q, passed_position, is_low, cap);
  UPDATE queue SET swept_at = now_at, tick_position = q.tick_position, tick_xid = q.tick_xid, tick_at = q.tick_at,
    safe_position = q.safe_position, tick_stat = q.tick_stat, safe_stat = q.safe_stat, passed_stat = q.passed_stat,
    late = q.late,
    low_from = CASE WHEN is_low THEN clock_timestamp() + 20 * (clock_timestamp() - walked_from) ELSE q.low_from END,
    due_from = least(now_at, greatest(q.due_from, last_due)),
    due_full_at = CASE WHEN is_full AND due_count < most
      THEN clock_timestamp() + greatest(interval '1 s', 20 * (clock_timestamp() - now_at))
      ELSE q.due_full_at END
  WHERE id = q.id
  RETURNING due_from INTO q.due_from;
  PERFORM publish_lag(q, p, counted, cap);
  RETURN QUERY SELECT c.lane, c.floor, c.first_pos, due_count FROM unnest(counted) AS c WHERE c.lane = ANY (lanes);
END $$;

CREATE OR REPLACE FUNCTION queueworker.sweep_queue(of_queue int, lanes int[], most int = 5000)
RETURNS SETOF queueworker.swept_lane
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  RETURN QUERY SELECT * FROM sweep_drawn(read_drawn(of_queue), lanes, most);
END $$;

-- Tend queues that no live worker sweeps; the next enqueue into them notifies. Gives how many jobs
-- became ready.
CREATE OR REPLACE FUNCTION queueworker.sweep(queues text[]) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  -- Of all of them, before this transaction has an id.
  each_seen queueworker.drawn[] := ARRAY(SELECT read_drawn(q.id) FROM queue AS q WHERE q.name = ANY (queues) ORDER BY q.id);
  alive_from timestamptz;
  served text[];
  seen queueworker.drawn;
  readied int := rescue();
  promoted int;
  rounds int;
BEGIN
  alive_from := leases_alive_from();
  served := ARRAY(SELECT DISTINCT u.name FROM worker AS w, unnest(w.queues) AS u (name) WHERE w.expires_at >= alive_from);
  FOREACH seen IN ARRAY each_seen LOOP
    CONTINUE WHEN (SELECT name = ANY (served) FROM queue WHERE id = seen.queue_id) IS NOT FALSE;
    PERFORM set_idle(seen.queue_id, true);
    promoted := coalesce((SELECT max(s.promoted) FROM sweep_drawn(
      seen, ARRAY(SELECT id FROM lane WHERE queue_id = seen.queue_id), 5000) AS s), 0);
    readied := readied + promoted;
    rounds := 1;
    WHILE promoted = 5000 AND rounds < 10 LOOP
      promoted := promote_more(seen.queue_id);
      readied := readied + promoted;
      rounds := rounds + 1;
    END LOOP;
  END LOOP;
  RETURN readied;
END $$;

-- The reader

-- From when on a lease counts as alive: while rescue holds back, one that is over may be alive too.
CREATE FUNCTION queueworker.leases_alive_from() RETURNS timestamptz
LANGUAGE sql VOLATILE SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  SELECT CASE WHEN held_until > clock_timestamp() THEN '-infinity' ELSE clock_timestamp() END FROM rescue_state
$$;

CREATE OR REPLACE FUNCTION queueworker.live_workers(of_queue text)
RETURNS TABLE (slots int, busy int, held int, is_draining boolean, tasks text[])
LANGUAGE sql STABLE SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  SELECT w.slots, w.busy_by_queue[array_position(w.queues, of_queue)],
    w.held_by_queue[array_position(w.queues, of_queue)], w.drain OR w.draining, w.tasks
  FROM worker AS w
  WHERE of_queue = ANY (w.queues) AND w.expires_at >= (SELECT leases_alive_from())
$$;

CREATE OR REPLACE FUNCTION queueworker.worker_state(queues text[])
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
  WHERE w.queues && $1 AND w.expires_at >= (SELECT leases_alive_from())
  ORDER BY w.started_at, w.id
$$;

-- The ready jobs of a queue's lanes: each is counted from its floor on, up to the cap ($2); beyond
-- it the lane is taken to be as dense as it was up to there.
CREATE FUNCTION queueworker.lanes_counted_text(part text) RETURNS text
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
          WHERE j.lane_id = l.id AND j.pos > l.floor AND j.pos IS NOT NULL AND j.token = 0
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

-- Most queues stand in job_default: for them the plan is kept.
DO $$
BEGIN
  EXECUTE format('CREATE FUNCTION queueworker.count_default_lanes(of_queue int, cap int)
    RETURNS SETOF queueworker.ready_count
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, queueworker, pg_temp
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS %L', format('BEGIN RETURN QUERY %s; END', queueworker.lanes_counted_text('job_default')));
END $$;

-- How many of the positions drawn since a publication became jobs: neither rolled back nor open. Unknown
-- (NULL) where a lane has nothing left of what stood in it then but newcomers (others of those may
-- have ended already), and after a bulk load.
CREATE FUNCTION queueworker.count_entered(q queueworker.queue, after_pos bigint) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
DECLARE
  most CONSTANT int := 5000;
  entered bigint;
BEGIN
  EXECUTE format('SELECT CASE WHEN bool_and((l.has_stock OR l.jobs = 0) AND l.jobs < $3) THEN sum(l.jobs) END FROM (
      SELECT EXISTS (
          SELECT FROM (
            SELECT j.token FROM queueworker.%1$I AS j
            WHERE j.lane_id = l.id AND j.pos <= $2 AND j.pos > l.floor AND j.pos IS NOT NULL
            ORDER BY j.lane_id DESC, j.pos DESC LIMIT 200
          ) AS last WHERE last.token = 0) AS has_stock,
        (SELECT count(*) FROM (
          SELECT FROM queueworker.%1$I AS j WHERE j.lane_id = l.id AND j.pos > $2 AND j.pos IS NOT NULL
          ORDER BY j.lane_id, j.pos LIMIT $3) AS newcomers) AS jobs
      FROM queueworker.lane AS l WHERE l.queue_id = $1
    ) AS l', q.part) INTO entered USING q.id, after_pos, most;
  RETURN entered;
END $$;

-- Ready jobs in lanes, now. A long backlog that was published a moment ago is reckoned from what
-- entered and was claimed since.
CREATE FUNCTION queueworker.count_standing(
  q queueworker.queue, p queueworker.queue_lag_published, entered bigint, cap int
) RETURNS queueworker.ready_count
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
DECLARE
  left_of_it bigint := p.ready - coalesce(pg_sequence_last_value(q.claimed_sequence), 0) + p.claimed;
  expected bigint := left_of_it + entered - p.entered;
  counted queueworker.ready_count;
BEGIN
  IF NOT p.is_exact AND expected > 3 * cap AND clock_timestamp() - p.published_at BETWEEN '0' AND '10 s' THEN
    -- Where they are few they cannot matter.
    IF entered - p.entered > expected / 200 THEN
      expected := left_of_it + coalesce(count_entered(q, p.entered), entered - p.entered);
    END IF;
    counted := row(expected, false, p.oldest_at, (
      SELECT jsonb_object_agg(t.key, (t.value::float8 * expected / p.ready)::bigint)
      FROM jsonb_each_text(p.by_task) AS t));
  ELSIF q.part = 'job_default' THEN
    SELECT c.ready, c.is_exact, c.oldest_at, c.by_task INTO counted FROM count_default_lanes(q.id, cap) AS c;
  ELSE
    EXECUTE lanes_counted_text(q.part)
      INTO counted.ready, counted.is_exact, counted.oldest_at, counted.by_task USING q.id, cap;
  END IF;
  RETURN counted;
END $$;

-- Scheduled jobs that are due and were not promoted yet: up to the cap.
CREATE FUNCTION queueworker.count_due_now(q queueworker.queue, cap int) RETURNS queueworker.ready_count
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
DECLARE
  counted queueworker.ready_count;
BEGIN
  EXECUTE format('SELECT coalesce(sum(t.ready), 0), coalesce(sum(t.ready), 0) < $2, min(t.oldest_at),
      coalesce(jsonb_object_agg(t.task, t.ready), ''{}'')
    FROM (
      SELECT l.task, count(*) AS ready, min(d.run_at) AS oldest_at
      FROM (
        SELECT j.lane_id, j.run_at FROM queueworker.%1$I AS j
        WHERE j.queue_id = $1 AND j.pos IS NULL AND j.run_at >= $3 AND j.run_at <= $4
        ORDER BY j.run_at LIMIT $2
      ) AS d JOIN queueworker.lane AS l ON l.id = d.lane_id GROUP BY l.task
    ) AS t', q.part)
    INTO counted.ready, counted.is_exact, counted.oldest_at, counted.by_task USING q.id, cap, q.due_from, clock_timestamp();
  RETURN counted;
END $$;

-- Jobs in the hands of workers whose lease is over, and which nobody has rescued yet.
CREATE FUNCTION queueworker.count_lost(q queueworker.queue) RETURNS queueworker.ready_count
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
DECLARE
  counted queueworker.ready_count;
BEGIN
  EXECUTE format('SELECT coalesce(sum(t.ready), 0), true, min(t.oldest_at), coalesce(jsonb_object_agg(t.task, t.ready), ''{}'')
    FROM (
      SELECT l.task, count(*) AS ready, min(j.run_at) AS oldest_at
      FROM queueworker.claim AS c
      CROSS JOIN unnest(c.ids) AS held (id)
      CROSS JOIN LATERAL (
        -- By primary key, whatever the planner thinks of the number of ids.
        SELECT r.lane_id, r.run_at FROM queueworker.%I AS r WHERE r.id = held.id AND r.token = c.token OFFSET 0
      ) AS j
      JOIN queueworker.lane AS l ON l.id = j.lane_id
      WHERE c.queue_id = $1 AND NOT EXISTS (
        SELECT FROM queueworker.worker AS w WHERE w.id = c.worker_id AND w.expires_at >= queueworker.leases_alive_from()
      ) GROUP BY l.task
    ) AS t', q.part)
    INTO counted.ready, counted.is_exact, counted.oldest_at, counted.by_task USING q.id;
  RETURN counted;
END $$;

CREATE FUNCTION queueworker.add_ready(a queueworker.ready_count, b queueworker.ready_count) RETURNS queueworker.ready_count
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  SELECT row(a.ready + b.ready, a.is_exact AND b.is_exact, least(a.oldest_at, b.oldest_at),
    CASE WHEN b.ready = 0 THEN a.by_task ELSE (
      SELECT jsonb_object_agg(s.task, s.ready) FROM (
        SELECT t.key AS task, sum(t.value::bigint)::bigint AS ready
        FROM (SELECT * FROM jsonb_each_text(a.by_task) UNION ALL SELECT * FROM jsonb_each_text(b.by_task)) AS t
        GROUP BY t.key
      ) AS s) END)::queueworker.ready_count
$$;

-- Jobs that could be claimed now: ready rows, due rows, and rows of workers whose lease is over.
-- What was published and cannot have changed since is not counted again. It reads the queue's rows itself:
-- as arguments, they would be built for every queue, also for those that stand still.
CREATE FUNCTION queueworker.read_ready(
  of_queue int, entered bigint, is_standing boolean, is_due boolean, is_lost boolean
) RETURNS queueworker.ready_count
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  cap CONSTANT int := 2000;
  q queueworker.queue;
  p queueworker.queue_lag_published;
  counted queueworker.ready_count;
BEGIN
  SELECT * INTO STRICT q FROM queue WHERE id = of_queue;
  SELECT * INTO p FROM queue_lag_published AS l
  WHERE l.queue_id = of_queue AND l.entered BETWEEN q.id::bigint << 40 AND (q.id + 1)::bigint << 40;
  counted := row(p.ready, p.is_exact, p.oldest_at, p.by_task);
  IF NOT is_standing THEN
    counted := count_standing(q, p, entered, cap);
  END IF;
  IF is_due THEN
    counted := add_ready(counted, count_due_now(q, cap));
  END IF;
  IF is_lost THEN
    counted := add_ready(counted, count_lost(q));
  END IF;
  RETURN counted;
END $$;

-- The planner takes an array's length for 10, and would join the parts below row by row.
CREATE FUNCTION queueworker.each_name(names text[]) RETURNS SETOF text
LANGUAGE plpgsql IMMUTABLE ROWS 1000 SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  RETURN QUERY SELECT DISTINCT named FROM unnest(names) AS named;
END $$;

CREATE OR REPLACE FUNCTION queueworker.queue_lag(queues text[])
RETURNS TABLE (
  queue text, sampled_at timestamptz, ready bigint, ready_is_exact bool, oldest_ready_age_s float8,
  running bigint, scheduled bigint, due_5s int[], due_60s bigint, due_300s bigint, dead bigint,
  enqueued_total bigint, promoted_total bigint, retried_total bigint, released_total bigint,
  rescued_total bigint, started_total bigint, succeeded_total bigint, failed_total bigint,
  busy_slot_seconds_total float8, service_count bigint, service_sum_s float8, service_sq_sum_s2 float8,
  wait_histogram bigint[], slots int, busy_slots int, workers int, draining_workers int, paused bool,
  ready_by_task jsonb, worker_tasks text[]
)
-- plpgsql keeps the plan for the session: planning this costs more than running it.
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  alive_from timestamptz := leases_alive_from();
  now_at timestamptz := clock_timestamp();
  last_scheduled_id bigint := coalesce(pg_sequence_last_value('queueworker.job_scheduled_id'), 0);
BEGIN
  RETURN QUERY
  WITH known AS MATERIALIZED (
    SELECT q.id, q.name, q.part, q.paused, q.due_from, q.passed_stat, q.position_sequence, q.claimed_sequence,
      q.requeued_sequence
    FROM each_name($1) AS n JOIN queueworker.queue AS q ON q.name = n
  ), fresh AS MATERIALIZED (
    -- What no sweep has added up yet; from the proven bound on, past the dead entries.
    SELECT s.* FROM known AS k CROSS JOIN LATERAL (
      SELECT * FROM queueworker.stat AS s WHERE s.queue_id = k.id AND s.id > k.passed_stat OFFSET 0
    ) AS s
  ), events AS (
    SELECT f.queue_id, sum(f.promoted) AS promoted, sum(f.retried) AS retried, sum(f.released) AS released,
      sum(f.rescued) AS rescued, sum(f.started) AS started, sum(f.succeeded) AS succeeded,
      sum(f.failed) AS failed, sum(f.dead) AS dead, sum(f.service_count) AS service_count,
      sum(f.busy_s) AS busy_s, sum(f.service_sum_s) AS service_sum_s, sum(f.service_sq_sum_s2) AS service_sq_sum_s2
    FROM fresh AS f GROUP BY f.queue_id
  ), waited AS (
    SELECT w.queue_id, array_agg(w.bucket) AS buckets, array_agg(w.waits) AS waits FROM (
      SELECT f.queue_id, u.bucket, sum(u.waits)::bigint AS waits
      FROM fresh AS f, unnest(f.wait_buckets, f.wait_counts) AS u (bucket, waits) GROUP BY f.queue_id, u.bucket
    ) AS w GROUP BY w.queue_id
  ), alive AS MATERIALIZED (
    SELECT w.queues, w.busy_by_queue, w.held_by_queue, w.slots, w.drain OR w.draining AS draining,
      ARRAY(SELECT DISTINCT t.task FROM unnest(w.tasks) AS t (task) ORDER BY t.task) AS tasks
    FROM queueworker.worker AS w WHERE w.expires_at >= alive_from
  ), loads AS (
    SELECT k.id AS queue_id, sum(w.slots) AS slots, sum(u.busy) AS busy, sum(u.held) AS held, count(*) AS workers,
      count(*) FILTER (WHERE w.draining) AS draining,
      -- The workers of one deployment say the same; a queue is seldom served by two.
      CASE WHEN min(w.tasks) = max(w.tasks) THEN min(w.tasks) ELSE ARRAY(
        SELECT DISTINCT t.task FROM alive AS o, unnest(o.tasks) AS t (task)
        WHERE k.name = ANY (o.queues) ORDER BY t.task) END AS tasks
    FROM alive AS w, unnest(w.queues, w.busy_by_queue, w.held_by_queue) AS u (name, busy, held)
    JOIN known AS k ON k.name = u.name
    GROUP BY k.id, k.name
  ), lost AS (
    SELECT DISTINCT c.queue_id FROM queueworker.claim AS c
    WHERE NOT EXISTS (SELECT FROM queueworker.worker AS w WHERE w.id = c.worker_id AND w.expires_at >= alive_from)
  )
  SELECT k.name, now_at, (k.r).ready + coalesce(w.held, 0), (k.r).is_exact,
    coalesce(greatest(0, date_part('epoch', now_at - (k.r).oldest_at)), 0),
    coalesce(w.busy, 0), (k.d).scheduled, coalesce((k.d).due_5s, array_fill(0, ARRAY[60])),
    CASE WHEN (k.d).due_5s IS NULL THEN 0 ELSE (SELECT sum(jobs) FROM unnest((k.d).due_5s[1:12]) AS jobs) END,
    CASE WHEN (k.d).due_5s IS NULL THEN 0 ELSE (SELECT sum(jobs) FROM unnest((k.d).due_5s) AS jobs) END,
    c.dead + coalesce(e.dead, 0),
    greatest(0, k.entered - (k.id::bigint << 40) - CASE WHEN k.entered = k.entered_then THEN k.requeued_then
      ELSE coalesce(pg_sequence_last_value(k.requeued_sequence), 0) END),
    c.promoted + coalesce(e.promoted, 0), c.retried + coalesce(e.retried, 0), c.released + coalesce(e.released, 0),
    c.rescued + coalesce(e.rescued, 0), c.started + coalesce(e.started, 0), c.succeeded + coalesce(e.succeeded, 0),
    c.failed + coalesce(e.failed, 0), c.busy_s + coalesce(e.busy_s, 0), c.service_count + coalesce(e.service_count, 0),
    c.service_sum_s + coalesce(e.service_sum_s, 0), c.service_sq_sum_s2 + coalesce(e.service_sq_sum_s2, 0),
    CASE WHEN h.queue_id IS NULL THEN c.waits ELSE ARRAY(
      SELECT u.waits + coalesce(h.waits[array_position(h.buckets, (u.place - 1)::smallint)], 0)
      FROM unnest(c.waits) WITH ORDINALITY AS u (waits, place) ORDER BY u.place) END,
    coalesce(w.slots, 0)::int, coalesce(w.busy, 0)::int, coalesce(w.workers, 0)::int, coalesce(w.draining, 0)::int,
    k.paused, (k.r).by_task, coalesce(w.tasks, '{}')
  FROM (
    -- OFFSET 0: each value is computed once. As a WITH query each step would be kept, row by row.
    SELECT n.*,
      CASE WHEN NOT n.is_standing OR NOT n.is_announced OR n.is_due OR n.is_lost
        THEN read_ready(n.id, n.entered, n.is_standing, n.is_due OR NOT n.is_announced, n.is_lost)
        ELSE row(n.ready_then, n.is_exact, n.oldest_at, n.by_task)::ready_count END AS r,
      CASE WHEN n.is_announced THEN row(n.due_then, n.scheduled)::queueworker.announced ELSE (
        SELECT row(a.due_5s, a.scheduled)::queueworker.announced
        FROM queueworker.queue AS q CROSS JOIN LATERAL count_announced(q) AS a WHERE q.id = n.id) END AS d
    FROM (
      SELECT s.id, s.name, s.paused, s.entered, s.entered_then, s.requeued_then, s.requeued_sequence, s.ready_then,
        s.is_exact, s.oldest_at, s.by_task, s.due_then, s.scheduled,
        (s.is_settled AND s.entered = s.entered_then AND (s.ready_then = 0
          OR s.claimed_then = coalesce(pg_sequence_last_value(s.claimed_sequence), 0))) IS TRUE AS is_standing,
        CASE
          WHEN (s.is_due_settled AND s.scheduled_id = last_scheduled_id AND coalesce(e.retried, 0) = 0
            OR now_at - s.published_at BETWEEN '0' AND '2.5 s') IS TRUE THEN true
          -- Jobs of other queues were scheduled since, or its sweeps wrote nothing.
          WHEN s.due_then IS NULL THEN is_scheduled_still(s.id, s.part, s.due_from, s.scheduled, now_at)
          ELSE false
        END AS is_announced,
        (s.next_due_at <= now_at) IS TRUE AS is_due,
        l.queue_id IS NOT NULL AS is_lost
      FROM (
        SELECT q.id, q.name, q.part, q.paused, q.due_from, q.claimed_sequence, q.requeued_sequence,
          coalesce(pg_sequence_last_value(q.position_sequence), q.id::bigint << 40) AS entered,
          p.published_at, p.entered AS entered_then, p.requeued AS requeued_then, p.claimed AS claimed_then,
          p.scheduled_id, p.is_settled, p.is_due_settled, p.ready AS ready_then, p.is_exact, p.oldest_at, p.by_task,
          p.scheduled, p.due_5s AS due_then, p.next_due_at
        FROM known AS q
        -- What was published before a move to another range of positions says nothing any more.
        LEFT JOIN queueworker.queue_lag_published AS p ON p.queue_id = q.id
          AND p.entered BETWEEN q.id::bigint << 40 AND (q.id + 1)::bigint << 40
        OFFSET 0
      ) AS s LEFT JOIN events AS e ON e.queue_id = s.id LEFT JOIN lost AS l ON l.queue_id = s.id
      OFFSET 0
    ) AS n
    OFFSET 0
  ) AS k
  JOIN queueworker.queue_counter AS c ON c.queue_id = k.id
  LEFT JOIN events AS e ON e.queue_id = k.id
  LEFT JOIN waited AS h ON h.queue_id = k.id
  LEFT JOIN loads AS w ON w.queue_id = k.id
  ORDER BY k.name;
END $$;

-- Replaced by what the functions above do.
DROP FUNCTION queueworker.count_ready(queueworker.queue, int);
DROP FUNCTION queueworker.count_due(queueworker.queue);
DROP FUNCTION queueworker.count_events(int);

CREATE FUNCTION queueworker.grant_roles_lag() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  IF role_exists('queueworker_worker') THEN
    GRANT EXECUTE ON FUNCTION queueworker.promote_more TO queueworker_worker;
  END IF;
END $$;
