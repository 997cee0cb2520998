-- Enqueue, for every language. Ids come back in the order of the arguments.
CREATE FUNCTION queueworker.refuse_job(
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
    WHEN octet_length(args::text) > 1048576
      THEN 'args are larger than 1 MiB; store them elsewhere and give a reference'
    WHEN jsonb_path_exists(args, '$.**{65}')
      THEN 'args are nested deeper than 64 levels; flatten them'
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

CREATE FUNCTION queueworker.enqueue_many(
  queue text,
  task text,
  args jsonb[],
  run_at timestamptz = NULL,
  priority int = 0,
  unique_keys text[] = NULL,
  max_attempts int = 5,
  timeout_s float8 = NULL
) RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  q queueworker.queue;
  lane int;
  now_at timestamptz := clock_timestamp();
  is_scheduled boolean := coalesce(run_at > now_at, false);
  new_ids bigint[];
  kept_count int;
BEGIN
  IF coalesce(cardinality(unique_keys), cardinality(args)) <> cardinality(args) THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
      MESSAGE = 'unique_keys must be as many as args, or NULL';
  END IF;
  IF task IS NULL OR length(task) NOT BETWEEN 1 AND 200 THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
      MESSAGE = 'the task''s name must have 1 to 200 characters';
  END IF;
  PERFORM refuse_job('{}', priority, max_attempts, timeout_s, run_at);
  -- Small arguments cannot be too deep or too large: the full check is for the others.
  PERFORM refuse_job(a, 0, 1, NULL, NULL) FROM unnest(args) AS a
  WHERE a IS NULL OR jsonb_typeof(a) <> 'object' OR pg_column_size(a) > 256;
  SELECT * INTO q FROM queueworker.queue AS known WHERE known.name = queue;
  IF NOT FOUND THEN
    q := ensure_queue(queue);
  END IF;
  lane := ensure_lane(q, task, priority);
  PERFORM pg_current_xact_id(); -- E3
  SELECT array_agg(CASE WHEN is_scheduled THEN nextval('queueworker.job_scheduled_id')
      ELSE nextval(q.position_sequence) END) INTO new_ids
  FROM generate_series(1, cardinality(args));
  WITH kept AS (
    INSERT INTO job (id, pos, lane_id, queue_id, run_at, max_attempts, timeout_s, unique_key, args)
    SELECT n.id, CASE WHEN NOT is_scheduled THEN n.id END, lane, q.id,
      CASE WHEN is_scheduled THEN run_at ELSE now_at END, max_attempts, timeout_s, n.unique_key, n.args
    FROM unnest(new_ids, args, unique_keys) AS n (id, args, unique_key)
    ON CONFLICT DO NOTHING
    RETURNING id
  )
  SELECT count(*) INTO kept_count FROM kept;
  IF kept_count = cardinality(args) THEN
    RETURN QUERY SELECT unnest(new_ids);
  ELSE
    -- Positions drawn for taken keys are no arrivals.
    IF NOT is_scheduled THEN
      PERFORM nextval(q.requeued_sequence) FROM generate_series(kept_count + 1, cardinality(args));
    END IF;
    RETURN QUERY SELECT j.id FROM unnest(new_ids) WITH ORDINALITY AS n (id, place)
      LEFT JOIN job AS j ON j.queue_id = q.id AND j.id = n.id ORDER BY n.place;
  END IF;
  IF q.idle AND NOT is_scheduled AND kept_count > 0 THEN
    PERFORM pg_notify('queueworker', 'job:' || q.name);
  END IF;
END $$;

CREATE FUNCTION queueworker.enqueue(
  queue text,
  task text,
  args jsonb = '{}',
  run_at timestamptz = NULL,
  priority int = 0,
  unique_key text = NULL,
  max_attempts int = 5,
  timeout_s float8 = NULL
) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  SELECT queueworker.enqueue_many(
    queue, task, ARRAY[args], run_at, priority, ARRAY[unique_key], max_attempts, timeout_s
  )
$$;
