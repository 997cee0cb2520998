-- Producers: a lean path for one job, batches as one text, room for COPY, unique keys with a policy.
-- Statement triggers and dynamic EXECUTE cost 20-35 us an enqueue, ON CONFLICT 40 B of WAL: where no
-- key is given there is none of them. The enqueue functions change their arguments, so they are made anew.
DROP FUNCTION queueworker.enqueue(text, text, jsonb, timestamptz, int, text, int, float8);
DROP FUNCTION queueworker.enqueue_many(text, text, jsonb[], timestamptz, int, text[], int, float8);

CREATE OR REPLACE FUNCTION queueworker.refuse_job(
  args jsonb, priority int, max_attempts int, timeout_s float8, run_at timestamptz
) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  reason text;
BEGIN
  reason := CASE
    WHEN args IS NULL OR jsonb_typeof(args) <> 'object'
      THEN 'args must be a JSON object; give the arguments by name'
    -- A number of five characters may be a hundred thousand digits long.
    WHEN octet_length(args::text) > 1048576
      THEN 'args are larger than 1 MiB; store them elsewhere and give a reference'
    WHEN jsonb_path_exists(args, '$.**{65}')
      THEN 'args are nested deeper than 64 levels; flatten them'
    WHEN jsonb_path_exists(args, '$.** ? (@.type() == "number" && (@ > 1.7976931348623157e308 || @ < -1.7976931348623157e308))')
      THEN 'args have a number beyond the range of a double; give it as text'
    WHEN priority IS NULL OR priority NOT BETWEEN 0 AND 9
      THEN 'priority must be from 0 to 9'
    WHEN max_attempts IS NULL OR max_attempts NOT BETWEEN 1 AND 1000
      THEN 'max_attempts must be from 1 to 1000'
    WHEN NOT (timeout_s > 0 AND timeout_s <= 31536000)
      THEN 'timeout_s must be above 0 and at most a year'
    WHEN NOT isfinite(run_at)
      THEN 'run_at must be a finite time'
  END;
  IF reason IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = reason;
  END IF;
END $$;

CREATE FUNCTION queueworker.refuse_task(task text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  IF task IS NULL OR length(task) NOT BETWEEN 1 AND 200 THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
      MESSAGE = 'the task''s name must have 1 to 200 characters';
  END IF;
END $$;

CREATE FUNCTION queueworker.refuse_key(unique_key text, on_duplicate text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  IF octet_length(unique_key) NOT BETWEEN 1 AND 1024 THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
      MESSAGE = 'unique_key must have 1 to 1024 bytes; give a digest of it';
  END IF;
  IF on_duplicate IS NULL OR on_duplicate NOT IN ('keep', 'reject', 'replace') THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
      MESSAGE = 'on_duplicate must be keep, reject or replace';
  END IF;
END $$;

-- For the rows of a batch that may be out of bounds: give them back, or refuse them.
CREATE FUNCTION queueworker.checked_args(args jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  PERFORM refuse_job(args, 0, 1, NULL, NULL);
  RETURN args;
END $$;

-- Where a job goes. Queue and lane are made at their first use.
CREATE TYPE queueworker.destination AS (
  queue_id int, lane_id int, is_idle boolean, position_sequence regclass, requeued_sequence regclass,
  claimed_sequence regclass
);

CREATE FUNCTION queueworker.ensure_destination(queue text, task text, priority int)
RETURNS queueworker.destination
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  q queueworker.queue := ensure_queue(queue);
BEGIN
  RETURN row(q.id, ensure_lane(q, task, priority), q.idle, q.position_sequence, q.requeued_sequence,
    q.claimed_sequence)::queueworker.destination;
END $$;

-- Give a waiting job new contents. A job that is ready and stays so in its lane keeps its place; else it
-- enters anew (E2). One that was tried before gets another id, which is its key for outside effects.
CREATE FUNCTION queueworker.replace_job(
  held queueworker.job, goal queueworker.destination, args jsonb, run_at timestamptz, max_attempts int,
  timeout_s float8
) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
#variable_conflict use_variable
DECLARE
  now_at timestamptz := clock_timestamp();
  is_scheduled boolean := coalesce(run_at > now_at, false);
  stays boolean := held.pos IS NOT NULL AND NOT is_scheduled AND held.lane_id = goal.lane_id;
  new_pos bigint := held.pos;
  new_id bigint := held.id;
BEGIN
  IF held.attempt > 0 THEN
    new_id := nextval('queueworker.job_scheduled_id');
  END IF;
  IF NOT stays THEN
    IF held.pos IS NOT NULL THEN
      PERFORM nextval(goal.claimed_sequence); -- it leaves the ready ones without a claim
    END IF;
    IF is_scheduled THEN
      new_pos := NULL;
    ELSE
      PERFORM nextval(goal.requeued_sequence);
      new_pos := nextval(goal.position_sequence);
      IF held.pos IS NULL THEN
        INSERT INTO stat (queue_id, promoted) VALUES (goal.queue_id, 1);
      END IF;
    END IF;
  END IF;
  UPDATE job AS j SET id = new_id, pos = new_pos, lane_id = goal.lane_id, attempt = 0, crash_count = 0,
    run_at = CASE WHEN stays THEN held.run_at WHEN is_scheduled THEN run_at ELSE now_at END,
    max_attempts = replace_job.max_attempts, timeout_s = replace_job.timeout_s, args = replace_job.args
  WHERE j.queue_id = held.queue_id AND j.id = held.id;
  RETURN new_id;
END $$;

-- Any job: scheduled, with a key, of a new queue, large. The loop ends: each round finds the holder of the
-- key or inserts, unless the holder ended in between.
CREATE FUNCTION queueworker.place_job(
  queue text, task text, args jsonb, run_at timestamptz, priority int, unique_key text, max_attempts int,
  timeout_s float8, on_duplicate text
) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
#variable_conflict use_variable
DECLARE
  goal queueworker.destination;
  held queueworker.job;
  now_at timestamptz := clock_timestamp();
  is_scheduled boolean := coalesce(run_at > now_at, false);
  job_id bigint;
BEGIN
  PERFORM refuse_task(task);
  PERFORM refuse_job(args, priority, max_attempts, timeout_s, run_at);
  PERFORM refuse_key(unique_key, on_duplicate);
  goal := ensure_destination(queue, task, priority);
  PERFORM pg_current_xact_id(); -- E3
  LOOP
    IF unique_key IS NOT NULL THEN
      IF on_duplicate = 'replace' THEN
        SELECT * INTO held FROM job AS j WHERE j.queue_id = goal.queue_id AND j.unique_key = place_job.unique_key
        FOR UPDATE;
      ELSE
        SELECT * INTO held FROM job AS j WHERE j.queue_id = goal.queue_id AND j.unique_key = place_job.unique_key;
      END IF;
      IF held.id IS NULL THEN
        held := held_in_tail(goal.queue_id, unique_key, on_duplicate = 'replace'); -- of a queue that moves
      END IF;
      IF held.id IS NOT NULL THEN
        IF on_duplicate = 'reject' THEN
          RAISE EXCEPTION USING ERRCODE = 'unique_violation', SCHEMA = 'queueworker', CONSTRAINT = 'job_unique_key',
            MESSAGE = format('the unique key %L of queue %s is taken by job %s', unique_key, queue, held.id),
            DETAIL = json_build_object('queue', queue, 'unique_key', unique_key, 'job_id', held.id);
        END IF;
        IF on_duplicate = 'keep' OR held.token > 0 THEN
          RETURN NULL;
        END IF;
        job_id := replace_job(held, goal, args, run_at, max_attempts, timeout_s);
        EXIT;
      END IF;
    END IF;
    job_id := CASE WHEN is_scheduled THEN nextval('queueworker.job_scheduled_id')
      ELSE nextval(goal.position_sequence) END;
    INSERT INTO job (id, pos, lane_id, queue_id, created_at, run_at, max_attempts, timeout_s, unique_key, args)
    VALUES (job_id, CASE WHEN NOT is_scheduled THEN job_id END, goal.lane_id, goal.queue_id, now_at,
      CASE WHEN is_scheduled THEN run_at ELSE now_at END, max_attempts, timeout_s, unique_key, args)
    ON CONFLICT DO NOTHING;
    EXIT WHEN FOUND;
    IF NOT is_scheduled THEN
      PERFORM nextval(goal.requeued_sequence); -- a position drawn for a taken key is no arrival
    END IF;
  END LOOP;
  IF goal.is_idle AND NOT is_scheduled THEN
    PERFORM pg_notify('queueworker', 'job:' || queue);
  END IF;
  RETURN job_id;
END $$;

CREATE FUNCTION queueworker.enqueue(
  queue text,
  task text,
  args jsonb = '{}',
  run_at timestamptz = NULL,
  priority int = 0,
  unique_key text = NULL,
  max_attempts int = 5,
  timeout_s float8 = NULL,
  on_duplicate text = 'keep'
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  q_id int;
  arrivals regclass;
  is_idle boolean;
  lane int;
  xid xid8;
  job_id bigint;
  now_at timestamptz := clock_timestamp();
BEGIN
  SELECT q.id, q.position_sequence, q.idle, l.id INTO q_id, arrivals, is_idle, lane
  FROM queueworker.queue AS q JOIN queueworker.lane AS l ON l.queue_id = q.id
  WHERE q.name = queue AND l.task = task AND l.priority = priority AND l.key IS NULL;
  -- Whatever is not plainly within the bounds takes the long way, which says what is wrong with it.
  IF lane IS NULL OR run_at IS NOT NULL OR unique_key IS NOT NULL
    OR (max_attempts BETWEEN 1 AND 1000 AND coalesce(timeout_s > 0 AND timeout_s <= 31536000, true)
      AND jsonb_typeof(args) = 'object' AND octet_length(args::text) <= 256 AND on_duplicate = 'keep') IS NOT TRUE
  THEN
    RETURN place_job(queue, task, args, run_at, priority, unique_key, max_attempts, timeout_s, on_duplicate);
  END IF;
  xid := pg_current_xact_id(); -- E3; an assignment needs no query
  job_id := nextval(arrivals);
  INSERT INTO job (id, pos, lane_id, queue_id, created_at, run_at, max_attempts, timeout_s, args)
  VALUES (job_id, job_id, lane, q_id, now_at, now_at, max_attempts, timeout_s, args);
  IF is_idle THEN
    PERFORM pg_notify('queueworker', 'job:' || queue);
  END IF;
  RETURN job_id;
END $$;

-- A batch of ready jobs of one kind, as one JSON array: half the server's and a tenth of the client's
-- cost of an array of texts.
CREATE FUNCTION queueworker.enqueue_batch(
  queue text, task text, args_array text, priority int, max_attempts int, timeout_s float8
) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  goal queueworker.destination;
  now_at timestamptz := clock_timestamp();
  new_ids bigint[];
BEGIN
  PERFORM refuse_task(task);
  PERFORM refuse_job('{}', priority, max_attempts, timeout_s, NULL);
  goal := ensure_destination(queue, task, priority);
  PERFORM pg_current_xact_id(); -- E3
  WITH kept AS (
    INSERT INTO job (id, pos, lane_id, queue_id, created_at, run_at, max_attempts, timeout_s, args)
    SELECT n.pos, n.pos, goal.lane_id, goal.queue_id, now_at, now_at, enqueue_batch.max_attempts, enqueue_batch.timeout_s,
      CASE WHEN jsonb_typeof(n.args) = 'object' AND octet_length(n.args::text) <= 256
        THEN n.args ELSE checked_args(n.args) END
    FROM (
      SELECT nextval(goal.position_sequence) AS pos, e.args
      FROM jsonb_array_elements(args_array::jsonb) AS e (args) OFFSET 0
    ) AS n
    RETURNING id
  )
  SELECT array_agg(id) INTO new_ids FROM kept;
  IF goal.is_idle AND new_ids IS NOT NULL THEN
    PERFORM pg_notify('queueworker', 'job:' || queue);
  END IF;
  RETURN coalesce(new_ids, '{}');
END $$;

CREATE FUNCTION queueworker.enqueue_many(
  queue text,
  task text,
  args jsonb[],
  run_at timestamptz = NULL,
  priority int = 0,
  unique_keys text[] = NULL,
  max_attempts int = 5,
  timeout_s float8 = NULL,
  on_duplicate text = 'keep',
  run_ats timestamptz[] = NULL
) RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  goal queueworker.destination;
  now_at timestamptz := clock_timestamp();
  jobs int := coalesce(cardinality(args), 0);
  new_ids bigint[];
  kept_ids bigint[];
  unused int;
BEGIN
  IF coalesce(cardinality(unique_keys), jobs) <> jobs OR coalesce(cardinality(run_ats), jobs) <> jobs THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
      MESSAGE = 'unique_keys and run_ats must be as many as args, or NULL';
  END IF;
  PERFORM refuse_task(task);
  PERFORM refuse_job('{}', priority, max_attempts, timeout_s, run_at);
  PERFORM refuse_job('{}', 0, 1, NULL, due) FROM unnest(run_ats) AS due WHERE NOT isfinite(due);
  PERFORM refuse_key(key, on_duplicate) FROM (SELECT NULL UNION ALL SELECT unnest(unique_keys)) AS k (key);
  IF on_duplicate <> 'keep' THEN
    -- In the order of the keys: two batches at once cannot wait for each other in a circle.
    RETURN QUERY SELECT p.id FROM (
      SELECT n.place, place_job(queue, task, n.args, coalesce(n.due, run_at), priority, n.key,
        max_attempts, timeout_s, on_duplicate) AS id
      FROM (
        SELECT * FROM unnest(args, run_ats, unique_keys) WITH ORDINALITY AS u (args, due, key, place)
        ORDER BY u.key, u.place OFFSET 0
      ) AS n OFFSET 0
    ) AS p ORDER BY p.place;
    RETURN;
  END IF;
  IF unique_keys IS NULL AND run_at IS NULL AND run_ats IS NULL THEN
    -- No ON CONFLICT, which would write 40 B more a job.
    RETURN QUERY SELECT unnest(enqueue_batch(queue, task, coalesce(to_json(args)::text, '[]'), priority,
      max_attempts, timeout_s));
    RETURN;
  END IF;
  PERFORM refuse_job(a, 0, 1, NULL, NULL) FROM unnest(args) AS a
  WHERE a IS NULL OR jsonb_typeof(a) <> 'object' OR octet_length(a::text) > 256;
  goal := ensure_destination(queue, task, priority);
  PERFORM pg_current_xact_id(); -- E3
  run_ats := ARRAY(SELECT greatest(coalesce(run_ats[n], run_at, now_at), now_at) FROM generate_series(1, jobs) AS n);
  new_ids := ARRAY(SELECT CASE WHEN due > now_at THEN nextval('queueworker.job_scheduled_id')
    ELSE nextval(goal.position_sequence) END FROM unnest(run_ats) AS due);
  WITH kept AS (
    INSERT INTO job (id, pos, lane_id, queue_id, created_at, run_at, max_attempts, timeout_s, unique_key, args)
    SELECT n.id, CASE WHEN n.due <= now_at THEN n.id END, goal.lane_id, goal.queue_id, now_at, n.due,
      max_attempts, timeout_s, n.key, n.args
    FROM unnest(new_ids, args, run_ats, unique_keys) WITH ORDINALITY AS n (id, args, due, key, place)
    ORDER BY n.key, n.place
    ON CONFLICT DO NOTHING
    RETURNING id
  )
  SELECT array_agg(id) INTO kept_ids FROM kept;
  SELECT count(*) INTO unused FROM unnest(new_ids, run_ats) AS n (id, due)
  WHERE n.due <= now_at AND n.id NOT IN (SELECT unnest(kept_ids));
  -- Positions drawn for taken keys are no arrivals.
  PERFORM nextval(goal.requeued_sequence) FROM generate_series(1, unused);
  IF goal.is_idle AND EXISTS (SELECT FROM unnest(kept_ids) AS id WHERE id >= 1::bigint << 40) THEN
    PERFORM pg_notify('queueworker', 'job:' || queue);
  END IF;
  RETURN QUERY SELECT k.id FROM unnest(new_ids) WITH ORDINALITY AS n (id, place)
    LEFT JOIN unnest(kept_ids) AS k (id) ON k.id = n.id ORDER BY n.place;
END $$;

-- Room for a COPY in this transaction: positions (after the transaction's id, E3), and the wake-up, which
-- goes out at the commit.
CREATE FUNCTION queueworker.reserve_positions(
  queue text, task text, priority int, max_attempts int, timeout_s float8, jobs int,
  OUT queue_id int, OUT lane_id int, OUT now_at timestamptz, OUT positions bigint[]
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  goal queueworker.destination;
BEGIN
  PERFORM refuse_task(task);
  PERFORM refuse_job('{}', priority, max_attempts, timeout_s, NULL);
  goal := ensure_destination(queue, task, priority);
  PERFORM pg_current_xact_id(); -- E3
  queue_id := goal.queue_id;
  lane_id := goal.lane_id;
  now_at := clock_timestamp();
  positions := ARRAY(SELECT nextval(goal.position_sequence) FROM generate_series(1, jobs));
  IF goal.is_idle THEN
    PERFORM pg_notify('queueworker', 'job:' || queue);
  END IF;
END $$;

-- After the COPY: the bounds hold for its rows as for all others.
CREATE FUNCTION queueworker.check_copied(of_queue int, first_id bigint, last_id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
BEGIN
  PERFORM refuse_job(j.args, 0, 1, NULL, NULL) FROM job AS j
  WHERE j.queue_id = of_queue AND j.id BETWEEN first_id AND last_id
    AND (jsonb_typeof(j.args) <> 'object' OR octet_length(j.args::text) > 256);
END $$;

CREATE FUNCTION queueworker.grant_roles_producers() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  IF role_exists('queueworker_enqueue') THEN
    GRANT EXECUTE ON FUNCTION queueworker.enqueue_batch TO queueworker_enqueue;
  END IF;
  IF role_exists('queueworker_worker') THEN
    GRANT EXECUTE ON FUNCTION queueworker.enqueue_batch, queueworker.reserve_positions, queueworker.check_copied
      TO queueworker_worker;
    -- What COPY writes: no token, no attempt, no key.
    GRANT INSERT (id, pos, lane_id, queue_id, created_at, run_at, max_attempts, timeout_s, args)
      ON queueworker.job TO queueworker_worker;
  END IF;
END $$;
