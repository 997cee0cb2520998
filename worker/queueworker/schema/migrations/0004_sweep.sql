-- What keeps a queue going: promote due jobs, raise floors, rescue, roll counters up.
-- The planner settings: all of this walks along indexes, also where nothing was analyzed yet.

-- Give back what dead workers held. By anyone, at any time: each row is changed only where it still
-- carries the claim's token, and a worker is removed only where its lease is over under the lock.
CREATE FUNCTION queueworker.remove_expired_workers() RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  removed int;
BEGIN
  DELETE FROM worker WHERE id IN (
    SELECT id FROM worker WHERE expires_at < clock_timestamp() FOR UPDATE SKIP LOCKED
  ) AND expires_at < clock_timestamp();
  GET DIAGNOSTICS removed = ROW_COUNT;
  RETURN removed;
END $$;

-- A lease cannot tell which job ended its worker: every started job is a suspect and its crash
-- counts, at the third it is dead. Jobs that never started go back uncharged and keep their age.
CREATE FUNCTION queueworker.rescue_claim(lost queueworker.claim) RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
DECLARE
  q queueworker.queue;
  suspects bigint[] := lost.ids[1:lost.started];
  unstarted bigint[] := lost.ids[lost.started + 1:];
  died int;
  back int;
  uncharged int;
BEGIN
  SELECT * INTO STRICT q FROM queue WHERE id = lost.queue_id;
  EXECUTE format('WITH crashed AS (
      SELECT id, attempt, crash_count FROM queueworker.%1$I
      WHERE id = ANY ($1) AND token = $2 FOR UPDATE
    ), noted AS (
      INSERT INTO queueworker.failure (job_id, queue_id, attempt, token, worker_id, kind, error)
      SELECT id, $3, attempt, $2, $4, ''crash'', ''the worker died while the job may have run'' FROM crashed
    ), died AS (
      DELETE FROM queueworker.%1$I AS j USING crashed AS c
      WHERE j.id = c.id AND j.token = $2 AND c.crash_count >= 2 RETURNING j.*
    ), buried AS (
      INSERT INTO queueworker.dead_job (id, created_at, run_at, timeout_s, lane_id, queue_id, attempt,
        max_attempts, crash_count, kind, error, unique_key, args)
      SELECT id, created_at, run_at, timeout_s, lane_id, queue_id, attempt, max_attempts,
        crash_count + 1, ''crash'', ''its worker died three times'', unique_key, args FROM died
    ) SELECT count(*) FROM died', q.part)
    INTO died USING suspects, lost.token, q.id, lost.worker_id;
  -- The count of re-entries is drawn first: a reader never sees more entries than it explains.
  EXECUTE format('UPDATE queueworker.%I SET token = 0, crash_count = crash_count + 1,
      pos = 0 * nextval($3) + nextval($4), run_at = clock_timestamp()
    WHERE id = ANY ($1) AND token = $2', q.part)
    USING suspects, lost.token, q.requeued_sequence, q.position_sequence;
  GET DIAGNOSTICS back = ROW_COUNT;
  EXECUTE format('UPDATE queueworker.%I SET token = 0, attempt = attempt - 1,
      pos = 0 * nextval($3) + nextval($4)
    WHERE id = ANY ($1) AND token = $2', q.part)
    USING unstarted, lost.token, q.requeued_sequence, q.position_sequence;
  GET DIAGNOSTICS uncharged = ROW_COUNT;
  -- While this waited for the table, queue_create may have moved the rows out of it.
  IF (SELECT part FROM queue WHERE id = q.id) <> q.part THEN
    RETURN rescue_claim(lost);
  END IF;
  IF back + uncharged + died > 0 THEN
    INSERT INTO stat (queue_id, rescued, dead) VALUES (q.id, back + uncharged, died);
  END IF;
  IF q.idle AND back + uncharged > 0 THEN
    PERFORM pg_notify('queueworker', 'job:' || q.name);
  END IF;
  DELETE FROM claim WHERE token = lost.token;
  RETURN back + uncharged + died;
END $$;

CREATE FUNCTION queueworker.rescue() RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  lost queueworker.claim;
  rescued int := 0;
BEGIN
  PERFORM pg_current_xact_id(); -- E3
  PERFORM remove_expired_workers();
  -- A claim without its worker's row: also one that a zombie made after its row was removed.
  FOR lost IN
    SELECT c.* FROM claim AS c
    WHERE NOT EXISTS (SELECT FROM worker AS w WHERE w.id = c.worker_id)
    FOR UPDATE OF c SKIP LOCKED
  LOOP
    rescued := rescued + rescue_claim(lost);
  END LOOP;
  RETURN rescued;
END $$;

-- Add the stat rows of a queue up; the caller holds the queue's row. Scans the index after the
-- proven bound, so that dead entries under a long snapshot are not walked each second.
CREATE FUNCTION queueworker.roll_up(of_queue int, after_stat bigint) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
  WITH taken AS MATERIALIZED (
    DELETE FROM stat WHERE queue_id = of_queue AND id > after_stat RETURNING *
  ), waited AS (
    SELECT array_agg(coalesce(counted.waits, 0) ORDER BY bucket.number) AS waits
    FROM generate_series(0, 47) AS bucket (number)
    LEFT JOIN (
      SELECT w.bucket, sum(w.waits)::bigint AS waits
      FROM taken, unnest(wait_buckets, wait_counts) AS w (bucket, waits) GROUP BY w.bucket
    ) AS counted ON counted.bucket = bucket.number
  ), summed AS (
    SELECT count(*) AS rows, sum(promoted) AS promoted, sum(retried) AS retried, sum(released) AS released,
      sum(rescued) AS rescued, sum(started) AS started, sum(succeeded) AS succeeded, sum(failed) AS failed,
      sum(dead) AS dead, sum(refused) AS refused, sum(service_count) AS service_count, sum(busy_s) AS busy_s,
      sum(service_sum_s) AS service_sum_s, sum(service_sq_sum_s2) AS service_sq_sum_s2
    FROM taken
  )
  UPDATE queue_counter AS c SET
    promoted = c.promoted + s.promoted, retried = c.retried + s.retried, released = c.released + s.released,
    rescued = c.rescued + s.rescued, started = c.started + s.started, succeeded = c.succeeded + s.succeeded,
    failed = c.failed + s.failed, dead = c.dead + s.dead, refused = c.refused + s.refused,
    service_count = c.service_count + s.service_count, busy_s = c.busy_s + s.busy_s,
    service_sum_s = c.service_sum_s + s.service_sum_s,
    service_sq_sum_s2 = c.service_sq_sum_s2 + s.service_sq_sum_s2,
    waits = ARRAY(SELECT a + b FROM unnest(c.waits, w.waits) WITH ORDINALITY AS p (a, b, place) ORDER BY place)
  FROM summed AS s, waited AS w
  WHERE c.queue_id = of_queue AND s.rows > 0
$$;

CREATE TYPE queueworker.swept_lane AS (lane int, floor bigint, first_ready_pos bigint, promoted int);

-- Once a second per queue, by whoever gets its row; the others are told the floors alone.
CREATE FUNCTION queueworker.sweep_queue(of_queue int, lanes int[], most int = 10000)
RETURNS SETOF queueworker.swept_lane
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  q queueworker.queue;
  now_at timestamptz := clock_timestamp();
  last_position bigint;
  last_stat bigint;
  xid xid8;
  is_full boolean;
  due_count int;
  last_due timestamptz;
  has_ready boolean;
  rolled_up_to bigint;
  swept queueworker.swept_lane[];
BEGIN
  SELECT * INTO q FROM queue
  -- A time of the future: the server's clock was set back.
  WHERE id = of_queue AND (swept_at < now_at - interval '0.4 s' OR swept_at > now_at)
  FOR NO KEY UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN QUERY SELECT l.id, l.floor, NULL::bigint, 0 FROM queueworker.lane AS l WHERE l.id = ANY (lanes);
    RETURN;
  END IF;
  -- The sequences first, then an id above every transaction that drew a value up to there (E3).
  last_position := coalesce(pg_sequence_last_value(q.position_sequence), 0);
  last_stat := coalesce(pg_sequence_last_value('queueworker.stat_id_seq'), 0);
  rolled_up_to := q.safe_stat;
  xid := pg_current_xact_id();
  IF pg_snapshot_xmin(pg_current_snapshot()) > q.tick_xid THEN
    q.safe_position := q.tick_position;
    q.tick_position := last_position;
    -- This sweep is the first that is sure to see all stat rows up to the last tick's bound; only
    -- the next one may start after it.
    q.safe_stat := q.tick_stat;
    q.tick_stat := last_stat;
    q.tick_xid := xid;
  END IF;
  PERFORM rescue();
  is_full := now_at > q.due_full_at OR q.swept_at > now_at;
  EXECUTE format('WITH due AS (
      SELECT ctid FROM queueworker.%1$I
      WHERE queue_id = $1 AND pos IS NULL AND run_at <= $2 AND run_at >= $3
      ORDER BY run_at LIMIT $4 FOR UPDATE SKIP LOCKED
    ), promoted AS (
      UPDATE queueworker.%1$I SET pos = 0 * nextval($5) + nextval($6)
      WHERE ctid = ANY (ARRAY(SELECT ctid FROM due)) RETURNING run_at
    ) SELECT count(*), max(run_at) FROM promoted', q.part)
    INTO due_count, last_due
    USING q.id, now_at, CASE WHEN is_full THEN '-infinity' ELSE q.due_from END, most,
      q.requeued_sequence, q.position_sequence;
  IF due_count > 0 THEN
    INSERT INTO stat (queue_id, promoted) VALUES (q.id, due_count);
    IF q.idle THEN
      PERFORM pg_notify('queueworker', 'job:' || q.name);
    END IF;
  END IF;
  PERFORM roll_up(q.id, rolled_up_to);
  EXECUTE format('WITH head AS MATERIALIZED (
      SELECT l.id, l.floor, first.pos FROM queueworker.lane AS l
      LEFT JOIN LATERAL (
        SELECT j.pos FROM queueworker.%I AS j
        WHERE j.lane_id = l.id AND j.pos > l.floor AND j.pos IS NOT NULL AND j.token = 0
        ORDER BY j.lane_id, j.pos LIMIT 1
      ) AS first ON true
      WHERE l.queue_id = $1
    ), raised AS (
      UPDATE queueworker.lane AS l SET floor = greatest(h.floor, least(h.pos - 1, $2))
      FROM head AS h WHERE l.id = h.id AND l.floor < greatest(h.floor, least(h.pos - 1, $2))
    )
    SELECT array_agg(row(h.id, greatest(h.floor, least(h.pos - 1, $2)), h.pos, $3)::queueworker.swept_lane
        ORDER BY h.id) FILTER (WHERE h.id = ANY ($4)), coalesce(bool_or(h.pos IS NOT NULL), false)
    FROM head AS h', q.part)
    INTO swept, has_ready USING q.id, q.safe_position, due_count, lanes;
  -- Nothing is ready and every drawn position is decided: entries and claims balance exactly.
  IF NOT has_ready AND q.safe_position >= last_position AND due_count = 0 THEN
    q.anchor := coalesce(pg_sequence_last_value(q.claimed_sequence), 0)
      - greatest(0, last_position - (q.id::bigint << 40));
  END IF;
  UPDATE queue SET swept_at = now_at, tick_position = q.tick_position, tick_xid = q.tick_xid,
    safe_position = q.safe_position, tick_stat = q.tick_stat, safe_stat = q.safe_stat, anchor = q.anchor,
    due_from = least(now_at, greatest(q.due_from, last_due)),
    due_full_at = CASE WHEN is_full AND due_count < most
      THEN clock_timestamp() + greatest(interval '1 s', 20 * (clock_timestamp() - now_at))
      ELSE q.due_full_at END
  WHERE id = q.id;
  RETURN QUERY SELECT * FROM unnest(swept);
END $$;
