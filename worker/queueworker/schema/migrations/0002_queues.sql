-- Queues, lanes and partitions.
CREATE FUNCTION queueworker.role_exists(name text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, queueworker, pg_temp
AS $$ SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = name) $$;

CREATE FUNCTION queueworker.prepare_partition(part text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  -- Half of each page stays free: a claim's new row version stands beside the old one (E4).
  EXECUTE format('ALTER TABLE queueworker.%1$I SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0,
      autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0,
      autovacuum_vacuum_insert_threshold = -1, vacuum_truncate = off);
    ALTER TABLE queueworker.%1$I ADD PRIMARY KEY (id);
    CREATE INDEX ON queueworker.%1$I (lane_id, pos) WHERE pos IS NOT NULL;
    CREATE INDEX ON queueworker.%1$I (queue_id, run_at) WHERE pos IS NULL;
    CREATE UNIQUE INDEX ON queueworker.%1$I (queue_id, unique_key) WHERE unique_key IS NOT NULL;', part);
  IF role_exists('queueworker_worker') THEN
    EXECUTE format('GRANT SELECT, UPDATE (token, attempt, pos, run_at), DELETE ON queueworker.%I
      TO queueworker_worker', part);
  END IF;
END $$;

CREATE TABLE queueworker.job_default PARTITION OF queueworker.job DEFAULT;
SELECT queueworker.prepare_partition('job_default');

CREATE FUNCTION queueworker.ensure_queue(queue_name text) RETURNS queueworker.queue
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  found_queue queueworker.queue;
  new_id int;
BEGIN
  SELECT * INTO found_queue FROM queue WHERE name = queue_name;
  IF FOUND THEN
    RETURN found_queue;
  END IF;
  IF queue_name IS NULL OR queue_name !~ '^[A-Za-z0-9_./-]{1,128}$' THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
      MESSAGE = 'the queue''s name is not valid; use 1 to 128 letters, digits, and _ . / -';
  END IF;
  -- One creator at a time: others wait for its commit and then find the row.
  PERFORM pg_advisory_xact_lock(hashtextextended('queueworker.queue:' || queue_name, 0));
  SELECT * INTO found_queue FROM queue WHERE name = queue_name;
  IF FOUND THEN
    RETURN found_queue;
  END IF;
  new_id := nextval('queueworker.queue_id');
  EXECUTE format('CREATE SEQUENCE queueworker.position_q%1$s MINVALUE %2$s MAXVALUE %3$s;
    CREATE SEQUENCE queueworker.requeued_q%1$s;
    CREATE SEQUENCE queueworker.claimed_q%1$s;', new_id, (new_id::bigint << 40) + 1, (new_id + 1)::bigint << 40);
  IF role_exists('queueworker_worker') THEN
    EXECUTE format('GRANT USAGE ON SEQUENCE queueworker.position_q%1$s, queueworker.requeued_q%1$s,
      queueworker.claimed_q%1$s TO queueworker_worker', new_id);
  END IF;
  INSERT INTO queue (id, name, position_sequence, requeued_sequence, claimed_sequence)
  VALUES (new_id, queue_name, ('queueworker.position_q' || new_id)::regclass,
    ('queueworker.requeued_q' || new_id)::regclass, ('queueworker.claimed_q' || new_id)::regclass)
  RETURNING * INTO found_queue;
  INSERT INTO queue_counter (queue_id) VALUES (new_id);
  PERFORM pg_notify('queueworker', 'queue:' || queue_name);
  RETURN found_queue;
END $$;

CREATE FUNCTION queueworker.ensure_lane(in_queue queueworker.queue, of_task text, of_priority int) RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  lane_id int;
BEGIN
  SELECT id INTO lane_id FROM lane
  WHERE queue_id = in_queue.id AND task = of_task AND priority = of_priority AND key IS NULL;
  IF FOUND THEN
    RETURN lane_id;
  END IF;
  INSERT INTO lane (queue_id, task, priority) VALUES (in_queue.id, of_task, of_priority)
  ON CONFLICT DO NOTHING
  RETURNING id INTO lane_id;
  IF FOUND THEN
    PERFORM pg_notify('queueworker', 'lane:' || in_queue.name);
    RETURN lane_id;
  END IF;
  SELECT id INTO STRICT lane_id FROM lane
  WHERE queue_id = in_queue.id AND task = of_task AND priority = of_priority AND key IS NULL;
  RETURN lane_id;
END $$;

-- A queue of its own partition: its rows move there in this transaction and keep their positions,
-- so floors and hints stay true. Enqueues wait for its end, before they choose a partition: one that
-- had chosen job_default would be refused there. Behind a producer's long transaction it gives up, so
-- that the others do not wait for that.
CREATE FUNCTION queueworker.queue_create(queue_name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
SET lock_timeout = '3 s'
AS $$
DECLARE
  q queueworker.queue := ensure_queue(queue_name);
  new_part text := 'job_q' || q.id;
BEGIN
  -- In this order, and no stronger: a producer may hold the row's key, a sweep the row.
  LOCK TABLE ONLY queueworker.job IN SHARE ROW EXCLUSIVE MODE;
  SELECT * INTO q FROM queue WHERE id = q.id FOR NO KEY UPDATE;
  IF q.part = new_part THEN
    RETURN;
  END IF;
  EXECUTE format('CREATE TABLE queueworker.%I (LIKE queueworker.job INCLUDING DEFAULTS)', new_part);
  LOCK TABLE queueworker.job_default IN ACCESS EXCLUSIVE MODE;
  EXECUTE format('WITH moved AS (DELETE FROM queueworker.job_default WHERE queue_id = $1 RETURNING *)
    INSERT INTO queueworker.%I SELECT * FROM moved', new_part) USING q.id;
  PERFORM prepare_partition(new_part);
  EXECUTE format('ALTER TABLE queueworker.job ATTACH PARTITION queueworker.%I FOR VALUES IN (%s)', new_part, q.id);
  UPDATE queue SET part = new_part WHERE id = q.id;
  PERFORM pg_notify('queueworker', 'queue:' || queue_name);
END $$;

CREATE FUNCTION queueworker.queue_pause(queue_name text, pause boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  UPDATE queue SET paused = pause WHERE name = queue_name;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM pg_notify('queueworker', 'queue:' || queue_name);
  RETURN true;
END $$;

CREATE FUNCTION queueworker.set_idle(of_queue int, to_idle boolean) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$ UPDATE queue SET idle = to_idle WHERE id = of_queue AND idle <> to_idle $$;
