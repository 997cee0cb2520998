-- Cancellation: one delete decides. The row goes whatever its state; a run that goes on is fenced, because
-- its token no longer finds a row: it can neither complete, retry nor die. Its worker is told, and stops it.

-- Runs that their worker has to stop. It is told by NOTIFY; where that does not arrive, it finds them here.
CREATE TABLE queueworker.cancelled_run (
  job_id bigint NOT NULL,
  token bigint NOT NULL,
  worker_id uuid,
  cancelled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (job_id, token)
);

-- How many jobs were cancelled: appended, and folded into one row now and then.
CREATE TABLE queueworker.cancelled_count (
  queue_id int NOT NULL REFERENCES queueworker.queue ON UPDATE CASCADE ON DELETE CASCADE,
  jobs bigint NOT NULL
);
CREATE INDEX cancelled_count_queue ON queueworker.cancelled_count (queue_id);

CREATE FUNCTION queueworker.count_cancelled(of_queue int, cancelled bigint) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  -- Locked rows are left for the next time: nobody waits for an open transaction.
  WITH folded AS (
    DELETE FROM cancelled_count WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM cancelled_count WHERE queue_id = of_queue FOR UPDATE SKIP LOCKED)) RETURNING jobs
  )
  INSERT INTO cancelled_count (queue_id, jobs)
  SELECT of_queue, cancelled + coalesce(sum(jobs), 0) FROM folded
$$;

CREATE FUNCTION queueworker.cancelled_total(queue text) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  SELECT coalesce(sum(c.jobs), 0)::bigint FROM cancelled_count AS c
  JOIN queueworker.queue AS q ON q.id = c.queue_id WHERE q.name = cancelled_total.queue
$$;

-- Cancel these jobs of one queue (by its id, former ids of a moving queue included); what each was.
CREATE FUNCTION queueworker.cancel_in(of_queue int, job_ids bigint[])
RETURNS TABLE (job_id bigint, was text)
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  q queueworker.queue;
  gone queueworker.job[];
BEGIN
  SELECT * INTO q FROM queue WHERE id = of_queue;
  -- A claim or a retry that holds a row is waited for; then the row is deleted in its new state.
  WITH deleted AS (
    DELETE FROM job AS j WHERE j.queue_id = of_queue AND j.id = ANY (job_ids) RETURNING j AS whole
  )
  SELECT array_agg(whole) INTO gone FROM deleted;
  IF gone IS NULL THEN
    RETURN;
  END IF;
  -- In a new statement: the claim may have been committed while the delete waited for it.
  INSERT INTO cancelled_run (job_id, token, worker_id)
  SELECT g.id, g.token, c.worker_id FROM unnest(gone) AS g LEFT JOIN claim AS c ON c.token = g.token
  WHERE g.token > 0;
  IF q.finished_for > interval '0' THEN
    INSERT INTO finished_job (id, created_at, run_at, claimed_at, timeout_s, lane_id, queue_id, attempt,
      max_attempts, crash_count, worker_id, state, unique_key, args)
    SELECT g.id, g.created_at, g.run_at, c.claimed_at, g.timeout_s, g.lane_id, g.queue_id, g.attempt,
      g.max_attempts, g.crash_count, c.worker_id, 'cancelled', g.unique_key, g.args
    FROM unnest(gone) AS g LEFT JOIN claim AS c ON c.token = g.token AND g.token > 0;
  END IF;
  -- The ready ones leave without a claim.
  PERFORM nextval(q.claimed_sequence) FROM unnest(gone) AS g WHERE g.pos IS NOT NULL AND g.token = 0;
  PERFORM pg_notify('queueworker', 'cancel:' || g.id) FROM unnest(gone) AS g WHERE g.token > 0;
  PERFORM count_cancelled(coalesce(q.tail_of, q.id), cardinality(gone));
  RETURN QUERY SELECT g.id, CASE WHEN g.token > 0 THEN 'running' WHEN g.pos IS NULL THEN 'scheduled' ELSE 'ready' END
    FROM unnest(gone) AS g;
END $$;

-- Cancel a job: it runs no more. Gives what it was (ready, scheduled, running), or NULL when it is not in a
-- queue: it has ended, or never was.
CREATE FUNCTION queueworker.cancel(job_id bigint) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
  found_in int;
  was text;
BEGIN
  LOOP
    SELECT j.queue_id INTO found_in FROM job AS j WHERE j.id = cancel.job_id LIMIT 1;
    IF NOT FOUND THEN
      RETURN NULL;
    END IF;
    SELECT c.was INTO was FROM cancel_in(found_in, ARRAY[cancel.job_id]) AS c;
    EXIT WHEN FOUND;
    -- It ended, or moved to another table, while the delete waited for it: look again. A snapshot of the
    -- whole transaction would show it for ever.
    EXIT WHEN current_setting('transaction_isolation') <> 'read committed';
  END LOOP;
  RETURN was;
END $$;

-- Cancel a batch of a queue's jobs, of one task or of all; gives how many. Jobs that end or start at this
-- moment are left for the next batch.
CREATE FUNCTION queueworker.cancel_many(queue text, task text = NULL, most int = 1000) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  q int;
  lanes int[];
  chosen bigint[];
  cancelled int := 0;
BEGIN
  FOR q IN
    SELECT each_queue.id FROM queueworker.queue AS each_queue
    WHERE each_queue.name = cancel_many.queue
      OR each_queue.tail_of = (SELECT id FROM queueworker.queue WHERE name = cancel_many.queue)
  LOOP
    lanes := ARRAY(SELECT l.id FROM lane AS l
      JOIN queueworker.queue AS owner ON owner.id = l.queue_id AND (owner.id = q OR owner.name = cancel_many.queue)
      WHERE cancel_many.task IS NULL OR l.task = cancel_many.task);
    chosen := ARRAY(
      SELECT j.id FROM unnest(lanes) AS l (id) CROSS JOIN LATERAL (
        SELECT w.id FROM job AS w WHERE w.queue_id = q AND w.lane_id = l.id AND w.pos IS NOT NULL
        ORDER BY w.lane_id, w.pos LIMIT most FOR UPDATE SKIP LOCKED) AS j
      LIMIT most);
    IF cardinality(chosen) < most THEN
      chosen := chosen || ARRAY(
        SELECT w.id FROM job AS w WHERE w.queue_id = q AND w.pos IS NULL AND w.lane_id = ANY (lanes)
        ORDER BY w.queue_id, w.run_at LIMIT most - cardinality(chosen) FOR UPDATE SKIP LOCKED);
    END IF;
    cancelled := cancelled + (SELECT count(*) FROM cancel_in(q, chosen));
  END LOOP;
  RETURN cancelled;
END $$;

-- What `cancel_many` would cancel, by task and state.
CREATE FUNCTION queueworker.cancel_count(queue text, task text = NULL)
RETURNS TABLE (of_task text, state text, jobs bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  SELECT l.task, CASE WHEN j.token > 0 THEN 'running' WHEN j.pos IS NULL THEN 'scheduled' ELSE 'ready' END, count(*)
  FROM queueworker.queue AS main
  JOIN queueworker.queue AS q ON q.id = main.id OR q.tail_of = main.id
  JOIN job AS j ON j.queue_id = q.id
  JOIN lane AS l ON l.id = j.lane_id
  WHERE main.name = cancel_count.queue AND (cancel_count.task IS NULL OR l.task = cancel_count.task)
  GROUP BY 1, 2 ORDER BY 1, 2
$$;

-- The runs that a worker still has to stop; those that it has stopped are forgotten, and old ones.
CREATE FUNCTION queueworker.cancelled_runs(of_worker uuid, stopped bigint[]) RETURNS SETOF bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  DELETE FROM cancelled_run WHERE (worker_id = of_worker AND job_id = ANY (stopped))
    OR cancelled_at < clock_timestamp() - interval '1 min';
  SELECT job_id FROM cancelled_run WHERE worker_id = of_worker
$$;

CREATE FUNCTION queueworker.grant_roles_cancellation() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  REVOKE ALL ON ALL FUNCTIONS IN SCHEMA queueworker FROM PUBLIC;
  IF role_exists('queueworker_worker') THEN
    GRANT EXECUTE ON FUNCTION queueworker.cancel, queueworker.cancelled_runs, queueworker.cancelled_total
      TO queueworker_worker;
  END IF;
  IF role_exists('queueworker_reader') THEN
    GRANT EXECUTE ON FUNCTION queueworker.cancelled_total TO queueworker_reader;
  END IF;
END $$;
