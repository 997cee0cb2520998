-- Why jobs were taken back: the operator ended the lease of a pod that is gone, or the lease was over. And how
-- many late writes of a queue were refused, which was counted and not told.
ALTER TABLE queueworker.claim
  ADD COLUMN pod_gone boolean NOT NULL DEFAULT false; -- its worker's lease was ended, since the pod is gone
ALTER TABLE queueworker.stat ADD COLUMN rescued_pod_gone int NOT NULL DEFAULT 0; -- of `rescued`
ALTER TABLE queueworker.queue_counter ADD COLUMN rescued_pod_gone bigint NOT NULL DEFAULT 0;

-- As before, and notes on the claims of those pods why they are taken back.
CREATE OR REPLACE FUNCTION queueworker.end_lease(pods text[], namespaces text[] = NULL, uids text[] = NULL) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  ended_ids uuid[];
BEGIN
  PERFORM pg_current_xact_id(); -- E3
  WITH ended AS (
    DELETE FROM worker AS w
    WHERE w.pod <> '' AND w.started_at < clock_timestamp() - interval '5 s' AND CASE
      WHEN namespaces IS NULL THEN w.pod = ANY (pods) OR w.namespace || '/' || w.pod = ANY (pods)
      ELSE EXISTS (
        SELECT FROM unnest(pods, namespaces, uids) AS gone (pod, namespace, uid)
        WHERE gone.pod = w.pod AND CASE
          WHEN w.pod_uid <> '' AND gone.uid <> '' THEN w.pod_uid = gone.uid
          ELSE w.namespace = gone.namespace END)
      END
    RETURNING w.id
  ) SELECT array_agg(id) INTO ended_ids FROM ended;
  -- Kept with the claim: what others hold at this moment is for a later rescue.
  UPDATE claim SET pod_gone = true WHERE token IN (
    SELECT token FROM claim WHERE worker_id = ANY (ended_ids) FOR UPDATE SKIP LOCKED
  );
  RETURN rescue_claims();
END $$;

-- As before; counted apart by what the claim says.
CREATE OR REPLACE FUNCTION queueworker.rescue_claim(lost queueworker.claim) RETURNS int
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
    INSERT INTO stat (queue_id, rescued, rescued_pod_gone, dead)
    VALUES (q.id, back + uncharged, CASE WHEN lost.pod_gone THEN back + uncharged ELSE 0 END, died);
  END IF;
  IF q.idle AND back + uncharged > 0 THEN
    PERFORM pg_notify('queueworker', 'job:' || q.name);
  END IF;
  DELETE FROM claim WHERE token = lost.token;
  RETURN back + uncharged + died;
END $$;

-- As before, with the new count.
CREATE OR REPLACE FUNCTION queueworker.roll_up(of_queue int, after_stat bigint) RETURNS void
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
      sum(rescued) AS rescued, sum(rescued_pod_gone) AS rescued_pod_gone, sum(started) AS started,
      sum(succeeded) AS succeeded, sum(failed) AS failed, sum(dead) AS dead, sum(refused) AS refused,
      sum(service_count) AS service_count, sum(busy_s) AS busy_s, sum(service_sum_s) AS service_sum_s,
      sum(service_sq_sum_s2) AS service_sq_sum_s2
    FROM taken
  )
  UPDATE queue_counter AS c SET
    promoted = c.promoted + s.promoted, retried = c.retried + s.retried, released = c.released + s.released,
    rescued = c.rescued + s.rescued, rescued_pod_gone = c.rescued_pod_gone + s.rescued_pod_gone,
    started = c.started + s.started, succeeded = c.succeeded + s.succeeded, failed = c.failed + s.failed,
    dead = c.dead + s.dead, refused = c.refused + s.refused,
    service_count = c.service_count + s.service_count, busy_s = c.busy_s + s.busy_s,
    service_sum_s = c.service_sum_s + s.service_sum_s,
    service_sq_sum_s2 = c.service_sq_sum_s2 + s.service_sq_sum_s2,
    waits = ARRAY(SELECT a + b FROM unnest(c.waits, w.waits) WITH ORDINALITY AS p (a, b, place) ORDER BY place)
  FROM summed AS s, waited AS w
  WHERE c.queue_id = of_queue AND s.rows > 0
$$;

-- As before, with two columns more, at the end. Readers name the columns that they want.
DROP FUNCTION queueworker.queue_lag(text[]);
CREATE FUNCTION queueworker.queue_lag(queues text[])
RETURNS TABLE (
  queue text, sampled_at timestamptz, ready bigint, ready_is_exact bool, oldest_ready_age_s float8,
  running bigint, scheduled bigint, due_5s int[], due_60s bigint, due_300s bigint, dead bigint,
  enqueued_total bigint, promoted_total bigint, retried_total bigint, released_total bigint,
  rescued_total bigint, started_total bigint, succeeded_total bigint, failed_total bigint,
  busy_slot_seconds_total float8, service_count bigint, service_sum_s float8, service_sq_sum_s2 float8,
  wait_histogram bigint[], slots int, busy_slots int, workers int, draining_workers int, paused bool,
  ready_by_task jsonb, worker_tasks text[], rescued_pod_gone_total bigint, refused_total bigint
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
      sum(f.failed) AS failed, sum(f.dead) AS dead, sum(f.rescued_pod_gone) AS rescued_pod_gone,
      sum(f.refused) AS refused, sum(f.service_count) AS service_count,
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
    k.paused, (k.r).by_task, coalesce(w.tasks, '{}'),
    c.rescued_pod_gone + coalesce(e.rescued_pod_gone, 0), c.refused + coalesce(e.refused, 0)
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
