-- What the operator's role may change, each through a function, and dead letters.

CREATE FUNCTION queueworker.set_drain(worker_ids uuid[], drain bool) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  changed uuid;
  changes int := 0;
BEGIN
  FOR changed IN
    UPDATE worker AS w SET drain = set_drain.drain
    WHERE w.id = ANY (worker_ids) AND w.drain <> set_drain.drain RETURNING w.id
  LOOP
    changes := changes + 1;
    PERFORM pg_notify('queueworker', 'drain:' || changed);
  END LOOP;
  RETURN changes;
END $$;

-- Pods that are gone need no time to live: `pod`, or `namespace/pod` where names may repeat. A pod
-- whose container restarted may have a new worker by now: rows of the last seconds are left alone.
CREATE FUNCTION queueworker.end_lease(pods text[]) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  DELETE FROM worker AS w
  WHERE w.pod <> '' AND (w.pod = ANY (pods) OR w.namespace || '/' || w.pod = ANY (pods))
    AND w.started_at < clock_timestamp() - interval '5 s';
  RETURN rescue();
END $$;

-- Tend queues that no live worker sweeps; the next enqueue into them notifies. Gives how many jobs
-- became ready.
CREATE FUNCTION queueworker.sweep(queues text[]) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  q queueworker.queue;
  readied int := rescue();
BEGIN
  FOR q IN
    SELECT * FROM queue WHERE name = ANY (queues) AND NOT EXISTS (SELECT FROM live_workers(name))
    ORDER BY id
  LOOP
    PERFORM set_idle(q.id, true);
    readied := readied + coalesce(
      (SELECT max(promoted) FROM sweep_queue(q.id, ARRAY(SELECT id FROM lane WHERE queue_id = q.id))), 0);
  END LOOP;
  RETURN readied;
END $$;

CREATE FUNCTION queueworker.save_state(name text, state jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  INSERT INTO operator_state (name, state) VALUES (save_state.name, save_state.state)
  ON CONFLICT ON CONSTRAINT operator_state_pkey
  DO UPDATE SET state = excluded.state, saved_at = clock_timestamp()
$$;

CREATE FUNCTION queueworker.load_state(name text) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$ SELECT s.state FROM operator_state AS s WHERE s.name = load_state.name $$;

-- Keeps the last 200 of a name.
CREATE FUNCTION queueworker.record_decision(name text, record jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  INSERT INTO decision (name, record) VALUES (record_decision.name, record_decision.record);
  DELETE FROM decision AS d
  WHERE d.name = record_decision.name AND d.id <= (
    SELECT old.id FROM decision AS old WHERE old.name = record_decision.name
    ORDER BY old.id DESC OFFSET 200 LIMIT 1
  )
$$;

CREATE FUNCTION queueworker.decisions(name text, most int) RETURNS TABLE (at timestamptz, record jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  SELECT d.decided_at, d.record FROM decision AS d
  WHERE d.name = decisions.name ORDER BY d.id DESC LIMIT decisions.most
$$;

-- Dead letters become ready again with all their attempts; one whose unique key is taken stays.
CREATE FUNCTION queueworker.dead_retry(of_queue text, job_ids bigint[] = NULL) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  q queueworker.queue;
  letter queueworker.dead_job;
  retried int := 0;
BEGIN
  SELECT * INTO q FROM queue WHERE name = of_queue;
  IF NOT FOUND THEN
    RETURN 0;
  END IF;
  PERFORM pg_current_xact_id(); -- E3
  FOR letter IN
    SELECT * FROM dead_job WHERE queue_id = q.id AND (job_ids IS NULL OR id = ANY (job_ids))
    ORDER BY died_at FOR UPDATE SKIP LOCKED
  LOOP
    INSERT INTO job (id, pos, lane_id, queue_id, created_at, run_at, max_attempts, timeout_s, unique_key, args)
    VALUES (letter.id, nextval(q.position_sequence), letter.lane_id, q.id, letter.created_at,
      clock_timestamp(), letter.max_attempts, letter.timeout_s, letter.unique_key, letter.args)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
      DELETE FROM dead_job WHERE id = letter.id;
      retried := retried + 1;
    ELSE
      PERFORM nextval(q.requeued_sequence);
    END IF;
  END LOOP;
  IF retried > 0 THEN
    INSERT INTO stat (queue_id, dead) VALUES (q.id, -retried);
    PERFORM pg_notify('queueworker', 'job:' || q.name);
  END IF;
  RETURN retried;
END $$;

CREATE FUNCTION queueworker.dead_purge(of_queue text, job_ids bigint[] = NULL) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  q queueworker.queue;
  purged int;
BEGIN
  SELECT * INTO q FROM queue WHERE name = of_queue;
  IF NOT FOUND THEN
    RETURN 0;
  END IF;
  DELETE FROM dead_job WHERE queue_id = q.id AND (job_ids IS NULL OR id = ANY (job_ids));
  GET DIAGNOSTICS purged = ROW_COUNT;
  IF purged > 0 THEN
    INSERT INTO stat (queue_id, dead) VALUES (q.id, -purged);
  END IF;
  RETURN purged;
END $$;

-- A worker's registration makes its queues, so that enqueues and claims find them.
CREATE FUNCTION queueworker.register_worker(
  id uuid, pod text, namespace text, node text, version text, queues text[], tasks text[], slots int, ttl_s float8
) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  SELECT ensure_queue(name) FROM unnest(queues) AS name ORDER BY name;
  INSERT INTO worker (id, pod, namespace, node, version, queues, tasks, slots, busy_by_queue, held_by_queue, expires_at)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, array_fill(0, ARRAY[cardinality($6)]),
    array_fill(0, ARRAY[cardinality($6)]), clock_timestamp() + make_interval(secs => $9))
$$;
