-- Queues that change their table while workers and producers go on.
--
-- A list partition cannot be attached while the default one holds rows of its value, nor without a scan of
-- the default one, unless a constraint proves that there are none. So a queue that moves takes a new id,
-- for which nothing has been written yet; what was written under its old id is its *tail*: a row of `queue`
-- under the old id, named QUEUE~ID, known to nobody but the mover, the rescue and late writers.
--   1. queue_part_make   reserve the new id, make its table; guard the default table against it
--   2. queue_flip        a moment's lock: attach, give the queue its new id, leave a tail behind
--   3. queue_move_some   move ready and scheduled rows, oldest first, a few thousand a transaction
-- Lanes keep their ids, rows keep id, pos and age: in a lane what was moved stands before what is new.
-- Running rows end where they are. While a backlog is on its way no floor is raised (nothing is safe).
ALTER TABLE queueworker.queue
  ADD COLUMN next_id int,                           -- reserved: its table is made, the flip is to come
  ADD COLUMN tail_of int REFERENCES queueworker.queue ON UPDATE CASCADE,
  ADD COLUMN moved_xid xid8,                        -- of a tail: the transaction that made it one
  ADD COLUMN open_then text[],                      -- of a tail: the transactions that may not know of that yet
  ADD COLUMN is_backlog_moved boolean NOT NULL DEFAULT false, -- of a tail: only stragglers are left
  ADD COLUMN moved_to jsonb NOT NULL DEFAULT '{}',  -- of a tail: lane to the pos up to which it is moved
  DROP CONSTRAINT queue_name_check,
  ADD CONSTRAINT queue_name_check
    CHECK (name ~ CASE WHEN tail_of IS NULL THEN '^[A-Za-z0-9_./-]{1,128}$' ELSE '^[A-Za-z0-9_./-]{1,128}~[0-9]+$' END);
CREATE INDEX queue_tail ON queueworker.queue (tail_of) WHERE tail_of IS NOT NULL;

-- All that refers to a queue's id by a constraint follows it.
DO $$
DECLARE
  reference record;
BEGIN
  FOR reference IN
    SELECT conrelid::regclass AS place, conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint
    WHERE confrelid = 'queueworker.queue'::regclass AND contype = 'f' AND confupdtype = 'a'
  LOOP
    EXECUTE format('ALTER TABLE %1$s DROP CONSTRAINT %2$I, ADD CONSTRAINT %2$I %3$s ON UPDATE CASCADE',
      reference.place, reference.name, reference.definition);
  END LOOP;
END $$;

CREATE FUNCTION queueworker.has_jobs(part text, of_queue int) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
  found_one boolean;
BEGIN
  EXECUTE format('SELECT EXISTS (SELECT FROM queueworker.%1$I AS j WHERE j.queue_id = $1 AND j.pos IS NULL)
    OR EXISTS (SELECT FROM queueworker.lane AS l
      CROSS JOIN LATERAL (SELECT FROM queueworker.%1$I AS j
        WHERE j.lane_id = l.id AND j.pos IS NOT NULL AND j.queue_id = $1 ORDER BY j.lane_id, j.pos LIMIT 1) AS first
      WHERE l.queue_id = $1 OR l.queue_id = (SELECT tail_of FROM queueworker.queue WHERE id = $1))', part)
    INTO found_one USING of_queue;
  RETURN found_one;
END $$;

-- Without a backlog there is nothing to move: attach a table for the id that the queue has. False: it has
-- jobs, or the scan of a large default table would keep others waiting.
CREATE FUNCTION queueworker.queue_attach(queue_name text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
SET lock_timeout = '100 ms'
AS $$
DECLARE
  q queueworker.queue := ensure_queue(queue_name);
  new_part text := 'job_q' || q.id;
BEGIN
  -- Enqueues wait before they choose a partition: one that had chosen job_default would be refused there.
  LOCK TABLE ONLY queueworker.job IN SHARE ROW EXCLUSIVE MODE;
  SELECT * INTO q FROM queue WHERE id = q.id FOR NO KEY UPDATE;
  IF q.part <> 'job_default' THEN
    RETURN true;
  END IF;
  IF q.next_id IS NOT NULL OR pg_relation_size('queueworker.job_default') > 8 * 1024 * 1024 OR has_jobs(q.part, q.id) THEN
    RETURN false;
  END IF;
  LOCK TABLE queueworker.job_default IN ACCESS EXCLUSIVE MODE;
  IF has_jobs(q.part, q.id) THEN
    RETURN false;
  END IF;
  EXECUTE format('CREATE TABLE queueworker.%I (LIKE queueworker.job INCLUDING DEFAULTS)', new_part);
  PERFORM prepare_partition(new_part);
  EXECUTE format('ALTER TABLE queueworker.job ATTACH PARTITION queueworker.%I FOR VALUES IN (%s)', new_part, q.id);
  UPDATE queue SET part = new_part WHERE id = q.id;
  PERFORM pg_notify('queueworker', 'queue:' || queue_name);
  RETURN true;
END $$;

CREATE OR REPLACE FUNCTION queueworker.queue_create(queue_name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  IF NOT queue_attach(queue_name) THEN
    RAISE EXCEPTION USING ERRCODE = 'object_in_use',
      MESSAGE = format('queue %s has jobs; the command "queueworker queue create" moves them without a stop', queue_name);
  END IF;
END $$;

-- Step 1. False: it has a table of its own, or (without `own`) none. Idempotent; nobody waits for it.
CREATE FUNCTION queueworker.queue_part_make(queue_name text, own boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
SET lock_timeout = '100 ms'
AS $$
DECLARE
  q queueworker.queue := ensure_queue(queue_name);
  part text;
BEGIN
  SELECT * INTO q FROM queue WHERE id = q.id FOR NO KEY UPDATE;
  IF own = (q.part <> 'job_default') THEN
    RETURN false;
  END IF;
  IF EXISTS (SELECT FROM queue WHERE tail_of = q.id) THEN
    RAISE EXCEPTION USING ERRCODE = 'object_in_use',
      MESSAGE = format('queue %s is still being moved: jobs that run or transactions that were open then hold on', q.name);
  END IF;
  IF q.next_id IS NULL THEN
    UPDATE queue SET next_id = nextval('queueworker.queue_id') WHERE id = q.id RETURNING next_id INTO q.next_id;
  END IF;
  part := 'job_q' || q.next_id;
  IF own AND to_regclass('queueworker.' || part) IS NULL THEN
    EXECUTE format('CREATE TABLE queueworker.%I (LIKE queueworker.job INCLUDING DEFAULTS)', part);
    PERFORM prepare_partition(part);
  END IF;
  RETURN true;
END $$;

-- The default table promises to hold no row of the reserved id; the proof reads it beside all others.
CREATE FUNCTION queueworker.queue_part_guard(queue_name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
SET lock_timeout = '100 ms'
AS $$
DECLARE
  q queueworker.queue;
BEGIN
  SELECT * INTO STRICT q FROM queue WHERE name = queue_name;
  IF NOT EXISTS (SELECT FROM pg_constraint
    WHERE conrelid = 'queueworker.job_default'::regclass AND conname = 'not_q' || q.next_id)
  THEN
    EXECUTE format('ALTER TABLE queueworker.job_default ADD CONSTRAINT not_q%1$s CHECK (queue_id <> %1$s) NOT VALID',
      q.next_id);
  END IF;
END $$;

CREATE FUNCTION queueworker.queue_part_prove(queue_name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  EXECUTE format('ALTER TABLE queueworker.job_default VALIDATE CONSTRAINT not_q%s',
    (SELECT next_id FROM queue WHERE name = queue_name));
END $$;

-- While a tail has jobs, a unique key is one over both tables: a row whose key is in the other one does not
-- enter, as if its own table had it. The lock makes two writers of a key take turns until they commit.
CREATE FUNCTION queueworker.refuse_moving_key() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  other queueworker.queue;
  is_taken boolean;
BEGIN
  IF current_setting('queueworker.is_moving', true) = 'on' THEN
    RETURN NEW;
  END IF;
  PERFORM pg_advisory_xact_lock(hashtextextended(NEW.unique_key, TG_ARGV[0]::bigint));
  FOR other IN
    SELECT * FROM queue AS q
    WHERE q.tail_of = NEW.queue_id OR q.id = (SELECT tail_of FROM queue WHERE id = NEW.queue_id)
  LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM queueworker.%I WHERE queue_id = $1 AND unique_key = $2)', other.part)
      INTO is_taken USING other.id, NEW.unique_key;
    IF is_taken THEN
      RETURN NULL;
    END IF;
  END LOOP;
  RETURN NEW;
END $$;

-- The job in a queue's tail that holds a key.
CREATE FUNCTION queueworker.held_in_tail(of_queue int, key text, lock_it boolean) RETURNS queueworker.job
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  held queueworker.job;
  tail int := (SELECT id FROM queue WHERE tail_of = of_queue);
BEGIN
  IF tail IS NOT NULL AND lock_it THEN
    SELECT * INTO held FROM job WHERE queue_id = tail AND unique_key = key FOR UPDATE;
  ELSIF tail IS NOT NULL THEN
    SELECT * INTO held FROM job WHERE queue_id = tail AND unique_key = key;
  END IF;
  RETURN held;
END $$;

-- Step 2: in one short transaction. It gives up where it would make others wait for a long transaction
-- (lock_timeout); the caller tries again. Waits for every writer of the old table, so that no key is
-- overlooked. Afterwards whoever read the old id a moment before writes into the tail.
CREATE FUNCTION queueworker.queue_flip(queue_name text, own boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
SET lock_timeout = '100 ms'
AS $$
DECLARE
  q queueworker.queue;
  tail queueworker.queue;
  new_part text;
BEGIN
  SELECT * INTO STRICT q FROM queue WHERE name = queue_name FOR UPDATE;
  IF own = (q.part <> 'job_default') THEN
    RETURN;
  END IF;
  new_part := CASE WHEN own THEN 'job_q' || q.next_id ELSE 'job_default' END;
  EXECUTE format('LOCK TABLE queueworker.%I IN ACCESS EXCLUSIVE MODE', q.part);
  IF own THEN
    EXECUTE format('ALTER TABLE queueworker.job ATTACH PARTITION queueworker.%1$I FOR VALUES IN (%2$s);
      ALTER TABLE queueworker.job_default DROP CONSTRAINT not_q%2$s', new_part, q.next_id);
  END IF;
  -- Entries go on being counted where they were: the new sequence has got as far as the old one.
  EXECUTE format('CREATE SEQUENCE queueworker.position_q%1$s MINVALUE %2$s MAXVALUE %3$s;
    CREATE SEQUENCE queueworker.requeued_q%1$s;', q.next_id, (q.next_id::bigint << 40) + 1, (q.next_id + 1)::bigint << 40);
  IF pg_sequence_last_value(q.position_sequence) IS NOT NULL THEN
    PERFORM setval(('queueworker.position_q' || q.next_id)::regclass,
      (q.next_id::bigint << 40) + (pg_sequence_last_value(q.position_sequence) - (q.id::bigint << 40)));
  END IF;
  IF role_exists('queueworker_worker') THEN
    EXECUTE format('GRANT USAGE ON SEQUENCE queueworker.position_q%1$s, queueworker.requeued_q%1$s TO queueworker_worker',
      q.next_id);
  END IF;
  tail := q;
  tail.name := q.name || '~' || q.id;
  tail.tail_of := q.next_id;
  tail.next_id := NULL;
  tail.requeued_sequence := ('queueworker.requeued_q' || q.next_id)::regclass;
  tail.moved_xid := pg_current_xact_id();
  tail.is_backlog_moved := false;
  tail.moved_to := '{}';
  tail.open_then := NULL;
  -- No tick is ever older than this id: no position is safe, no floor is raised.
  UPDATE queue SET id = q.next_id, next_id = NULL, part = new_part,
    position_sequence = ('queueworker.position_q' || q.next_id)::regclass,
    safe_position = 0, tick_position = 0, tick_xid = '9223372036854775807',
    due_from = '-infinity', due_full_at = '-infinity', late = '{}'
  WHERE id = q.id;
  -- What late transactions wrote under the old id is moved at its old positions.
  UPDATE lane SET floor = safe_floor WHERE queue_id = q.next_id AND floor <> safe_floor;
  INSERT INTO queue SELECT tail.*;
  EXECUTE format('CREATE TRIGGER moving_key_q%1$s BEFORE INSERT ON queueworker.%2$I FOR EACH ROW
      WHEN (NEW.unique_key IS NOT NULL AND NEW.queue_id = %1$s) EXECUTE FUNCTION queueworker.refuse_moving_key(%4$s);
    CREATE TRIGGER moving_key_q%4$s BEFORE INSERT ON queueworker.%3$I FOR EACH ROW
      WHEN (NEW.unique_key IS NOT NULL AND NEW.queue_id = %4$s) EXECUTE FUNCTION queueworker.refuse_moving_key(%4$s)',
    tail.id, tail.part, new_part, q.next_id);
  PERFORM move_some(tail, 2000);
  PERFORM pg_notify('queueworker', 'queue:' || queue_name);
END $$;

-- Move the rows of a tail that `chosen` selects (a condition on j), at most so many; give how many.
-- A row that became ready again after the move of the backlog stands below floors: it gets a new pos (E2).
CREATE FUNCTION queueworker.move_rows(tail queueworker.queue, chosen text, in_order text, most int, draw boolean)
RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
DECLARE
  q queueworker.queue;
  kept_columns text;
  moved bigint[];
BEGIN
  SELECT * INTO STRICT q FROM queue WHERE id = tail.tail_of;
  PERFORM pg_current_xact_id(); -- E3
  PERFORM set_config('queueworker.is_moving', 'on', true);
  SELECT string_agg(quote_ident(attname), ', ') INTO kept_columns FROM pg_attribute
  WHERE attrelid = 'queueworker.job'::regclass AND attnum > 0 AND NOT attisdropped
    AND attname NOT IN ('queue_id', 'pos', 'lane_id');
  EXECUTE format('WITH gone AS (
      DELETE FROM queueworker.%1$I WHERE ctid = ANY (ARRAY(
        SELECT j.ctid FROM queueworker.%1$I AS j WHERE %3$s %4$s LIMIT $1 FOR UPDATE SKIP LOCKED)) RETURNING *
    ), arrived AS (
      INSERT INTO queueworker.%2$I (%5$s, queue_id, pos, lane_id)
      SELECT %5$s, $2, CASE WHEN pos IS NULL OR NOT $3 THEN pos ELSE 0 * nextval($4) + nextval($5) END,
        -- A lane that a late writer made under the old id has its twin under the new one.
        coalesce((SELECT twin.id FROM queueworker.lane AS l
          JOIN queueworker.lane AS twin ON twin.queue_id = $2 AND twin.task = l.task AND twin.priority = l.priority
            AND twin.key IS NOT DISTINCT FROM l.key
          WHERE l.id = gone.lane_id AND l.queue_id = $6), gone.lane_id)
      FROM gone RETURNING pos
    ) SELECT ARRAY[count(*), coalesce(max(pos), 0)] FROM arrived', tail.part, q.part, chosen, in_order, kept_columns)
    INTO moved USING most, q.id, draw, q.requeued_sequence, q.position_sequence, tail.id;
  PERFORM set_config('queueworker.is_moving', 'off', true);
  RETURN moved;
END $$;

-- One round: of each lane and of the scheduled jobs the oldest; give how many moved.
CREATE FUNCTION queueworker.move_some(tail queueworker.queue, most int) RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  lane record;
  share int;
  start bigint;
  round bigint[];
  moved int := 0;
  scheduled bigint[];
  reached jsonb := tail.moved_to;
BEGIN
  INSERT INTO lane (queue_id, task, priority, key)
  SELECT tail.tail_of, l.task, l.priority, l.key FROM lane AS l WHERE l.queue_id = tail.id
  ON CONFLICT DO NOTHING;
  share := greatest(100, most / greatest(1, (SELECT count(*) FROM lane AS l WHERE l.queue_id IN (tail.id, tail.tail_of))));
  FOR lane IN
    SELECT l.id FROM lane AS l WHERE l.queue_id IN (tail.id, tail.tail_of) ORDER BY l.priority DESC, l.id
  LOOP
    start := coalesce((reached ->> lane.id::text)::bigint, 0);
    round := move_rows(tail, format('j.lane_id = %s AND j.pos > %s AND j.pos IS NOT NULL AND j.token = 0 AND j.queue_id = %s',
      lane.id, start, tail.id), 'ORDER BY j.lane_id, j.pos', share, tail.is_backlog_moved);
    moved := moved + round[1];
    -- At the end again from the start: what was locked, or became ready behind.
    reached := jsonb_set(reached, ARRAY[lane.id::text],
      to_jsonb(CASE WHEN round[1] < share OR tail.is_backlog_moved THEN 0 ELSE round[2] END));
  END LOOP;
  scheduled := move_rows(tail, format('j.queue_id = %s AND j.pos IS NULL AND j.token = 0', tail.id),
    'ORDER BY j.queue_id, j.run_at', most, false);
  IF scheduled[1] > 0 THEN
    UPDATE queue SET due_full_at = '-infinity' WHERE id = tail.tail_of;
  END IF;
  UPDATE queue AS t SET moved_to = reached WHERE t.id = tail.id AND t.moved_to <> reached;
  RETURN moved + scheduled[1];
END $$;

-- What else was written under the old id. Counts get new ids, or the roll-up would be past them.
CREATE FUNCTION queueworker.move_records(tail queueworker.queue, most int) RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
DECLARE
  place text;
  counted text;
  moved int;
  total int := 0;
BEGIN
  SELECT string_agg(quote_ident(attname), ', ') INTO counted FROM pg_attribute
  WHERE attrelid = 'queueworker.stat'::regclass AND attnum > 0 AND NOT attisdropped
    AND attname NOT IN ('id', 'queue_id');
  EXECUTE format('WITH taken AS (DELETE FROM queueworker.stat WHERE queue_id = $1 RETURNING *)
    INSERT INTO queueworker.stat (queue_id, %1$s) SELECT $2, %1$s FROM taken', counted) USING tail.id, tail.tail_of;
  FOREACH place IN ARRAY ARRAY['dead_job', 'finished_job'] LOOP
    CONTINUE WHEN to_regclass('queueworker.' || place) IS NULL;
    EXECUTE format('UPDATE queueworker.%1$I AS moved SET queue_id = $2, lane_id = coalesce((
        SELECT twin.id FROM queueworker.lane AS l
        JOIN queueworker.lane AS twin ON twin.queue_id = $2 AND twin.task = l.task AND twin.priority = l.priority
          AND twin.key IS NOT DISTINCT FROM l.key
        WHERE l.id = moved.lane_id AND l.queue_id = $1), moved.lane_id)
      WHERE queue_id = $1 AND id IN (SELECT id FROM queueworker.%1$I WHERE queue_id = $1 LIMIT $3 FOR UPDATE SKIP LOCKED)',
      place) USING tail.id, tail.tail_of, most;
    GET DIAGNOSTICS moved = ROW_COUNT;
    total := total + moved;
  END LOOP;
  RETURN total;
END $$;

-- Every transaction, also one that has only read so far, holds the lock of its virtual id.
CREATE FUNCTION queueworker.open_transactions() RETURNS text[]
LANGUAGE sql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  SELECT coalesce(array_agg(virtualtransaction), '{}') FROM pg_locks
  WHERE locktype = 'virtualxid' AND pid <> pg_backend_pid()
$$;

-- Nobody can write under the old id any more: no transaction is as old as the flip.
CREATE FUNCTION queueworker.is_past(tail queueworker.queue) RETURNS boolean
LANGUAGE sql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  SELECT pg_snapshot_xmin(pg_current_snapshot()) > tail.moved_xid
    AND coalesce(NOT tail.open_then && open_transactions(), false)
$$;

-- The end of a tail. It needs a moment's lock for the triggers: without it, the next round tries again.
CREATE FUNCTION queueworker.end_tail(tail queueworker.queue) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp SET lock_timeout = '100 ms'
AS $$
DECLARE
  q queueworker.queue;
BEGIN
  IF has_jobs(tail.part, tail.id) OR EXISTS (SELECT FROM claim WHERE queue_id = tail.id) OR NOT is_past(tail) THEN
    RETURN false;
  END IF;
  -- What its last jobs wrote before they were gone.
  IF move_records(tail, 5000) > 0 THEN
    RETURN false;
  END IF;
  SELECT * INTO STRICT q FROM queue WHERE id = tail.tail_of;
  UPDATE failure SET queue_id = q.id WHERE queue_id = tail.id;
  EXECUTE format('DROP TRIGGER moving_key_q%s ON queueworker.%I; DROP TRIGGER moving_key_q%s ON queueworker.%I',
    tail.id, tail.part, q.id, q.part);
  IF tail.part <> 'job_default' THEN
    EXECUTE format('DROP TABLE queueworker.%I', tail.part);
  END IF;
  DELETE FROM lane WHERE queue_id = tail.id;
  DELETE FROM queue WHERE id = tail.id;
  EXECUTE format('DROP SEQUENCE %s, %s', tail.position_sequence, tail.requeued_sequence);
  PERFORM pg_notify('queueworker', 'queue:' || q.name);
  RETURN true;
EXCEPTION
  WHEN lock_not_available OR deadlock_detected THEN
    RETURN false;
END $$;

-- Step 3, by anyone, again and again: the command at full speed, each worker once a second. `state` is
-- moving (a backlog is on its way), finishing (what runs ends in the old table), or moved.
CREATE FUNCTION queueworker.queue_move_some(queue_name text, most int = 2000, OUT moved int, OUT state text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  q queueworker.queue;
  tail queueworker.queue;
BEGIN
  moved := 0;
  SELECT * INTO q FROM queue WHERE name = queue_name;
  SELECT * INTO tail FROM queue WHERE tail_of = q.id;
  IF NOT FOUND THEN
    state := 'moved';
    RETURN;
  END IF;
  state := CASE WHEN tail.is_backlog_moved THEN 'finishing' ELSE 'moving' END;
  IF NOT pg_try_advisory_xact_lock(hashtextextended('queueworker.move', tail.id)) THEN
    RETURN;
  END IF;
  -- Another mover may have gone on since.
  SELECT * INTO tail FROM queue WHERE tail_of = q.id;
  IF NOT FOUND THEN
    state := 'moved';
    RETURN;
  END IF;
  IF tail.open_then IS NULL THEN
    -- After the flip was committed: who begins now knows of it.
    UPDATE queue SET open_then = open_transactions() WHERE id = tail.id;
  END IF;
  moved := move_some(tail, most) + move_records(tail, most);
  IF moved > 0 THEN
    PERFORM pg_notify('queueworker', 'job:' || q.name);
  ELSIF NOT tail.is_backlog_moved AND pg_snapshot_xmin(pg_current_snapshot()) > tail.moved_xid
    AND NOT has_waiting(tail)
  THEN
    UPDATE queue SET is_backlog_moved = true WHERE id = tail.id;
    UPDATE queue SET tick_xid = '0' WHERE id = q.id;
    state := 'finishing';
  ELSIF tail.is_backlog_moved AND end_tail(tail) THEN
    state := 'moved';
  END IF;
END $$;

-- Whether a tail has a job that waits, also one that another transaction has locked.
CREATE FUNCTION queueworker.has_waiting(tail queueworker.queue) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
  found_one boolean;
BEGIN
  EXECUTE format('SELECT EXISTS (SELECT FROM queueworker.%1$I AS j WHERE j.queue_id = $1 AND j.pos IS NULL)
    OR EXISTS (SELECT FROM queueworker.lane AS l
      CROSS JOIN LATERAL (SELECT FROM queueworker.%1$I AS j
        WHERE j.lane_id = l.id AND j.pos IS NOT NULL AND j.token = 0 AND j.queue_id = $1 LIMIT 1) AS first
      WHERE l.queue_id IN ($1, $2))', tail.part)
    INTO found_one USING tail.id, tail.tail_of;
  RETURN found_one;
END $$;

-- What a removal would take away.
CREATE FUNCTION queueworker.queue_contents(queue_name text, OUT jobs bigint, OUT dead bigint, OUT workers bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  q queueworker.queue;
  counted bigint;
BEGIN
  jobs := 0;
  FOR q IN SELECT * FROM queue AS each_queue WHERE each_queue.name = queue_name
    OR each_queue.tail_of = (SELECT id FROM queue WHERE name = queue_name)
  LOOP
    EXECUTE format('SELECT count(*) FROM queueworker.%I WHERE queue_id = $1', q.part) INTO counted USING q.id;
    jobs := jobs + counted;
  END LOOP;
  SELECT count(*) INTO dead FROM dead_job AS d JOIN queue AS owner ON owner.id = d.queue_id
  WHERE owner.name = queue_name;
  SELECT count(*) INTO workers FROM live_workers(queue_name);
END $$;

-- Remove a queue. `purge` also takes its jobs and dead letters; else it refuses (false) where it has any, or
-- a live worker. Writers are shut out for a moment; an enqueue that crosses it ends with the queue.
CREATE FUNCTION queueworker.queue_drop(queue_name text, purge boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
SET lock_timeout = '100 ms'
AS $$
DECLARE
  q queueworker.queue;
  place text;
BEGIN
  SELECT * INTO q FROM queue WHERE name = queue_name AND tail_of IS NULL FOR UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF EXISTS (SELECT FROM queue WHERE tail_of = q.id) THEN
    RAISE EXCEPTION USING ERRCODE = 'object_in_use', MESSAGE = format('queue %s is being moved; wait for its end', q.name);
  END IF;
  EXECUTE format('LOCK TABLE queueworker.%I IN ACCESS EXCLUSIVE MODE', q.part);
  IF NOT purge AND (has_jobs(q.part, q.id) OR EXISTS (SELECT FROM dead_job WHERE queue_id = q.id)
    OR EXISTS (SELECT FROM live_workers(q.name)))
  THEN
    RETURN false;
  END IF;
  IF q.part <> 'job_default' THEN
    EXECUTE format('DROP TABLE queueworker.%I', q.part);
  ELSIF has_jobs(q.part, q.id) THEN
    RETURN false; -- queue_empty takes them away, a batch at a time
  END IF;
  FOREACH place IN ARRAY ARRAY['claim', 'dead_job', 'stat', 'queue_counter', 'failure', 'finished_job'] LOOP
    IF to_regclass('queueworker.' || place) IS NOT NULL THEN
      EXECUTE format('DELETE FROM queueworker.%I WHERE queue_id = $1', place) USING q.id;
    END IF;
  END LOOP;
  DELETE FROM lane WHERE queue_id = q.id;
  DELETE FROM queue WHERE id = q.id;
  EXECUTE format('DROP SEQUENCE %s, %s, %s', q.position_sequence, q.requeued_sequence, q.claimed_sequence);
  IF q.next_id IS NOT NULL THEN
    EXECUTE format('DROP TABLE IF EXISTS queueworker.job_q%1$s', q.next_id);
  END IF;
  PERFORM pg_notify('queueworker', 'queue:' || q.name);
  RETURN true;
END $$;

-- Take jobs out of a queue for good, a batch at a time, running ones as well; give how many.
CREATE FUNCTION queueworker.queue_empty(queue_name text, most int = 5000) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
DECLARE
  q queueworker.queue;
  emptied int := 0;
  batch int;
  lane record;
BEGIN
  FOR q IN
    SELECT * FROM queue AS each_queue
    WHERE each_queue.name = queue_name OR each_queue.tail_of = (SELECT id FROM queue WHERE name = queue_name)
  LOOP
    FOR lane IN SELECT l.id FROM lane AS l WHERE l.queue_id IN (q.id, q.tail_of) LOOP
      EXECUTE format('DELETE FROM queueworker.%1$I WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM queueworker.%1$I WHERE lane_id = $1 AND pos IS NOT NULL AND queue_id = $2
        ORDER BY lane_id, pos LIMIT $3 FOR UPDATE SKIP LOCKED))', q.part) USING lane.id, q.id, most;
      GET DIAGNOSTICS batch = ROW_COUNT;
      emptied := emptied + batch;
    END LOOP;
    EXECUTE format('DELETE FROM queueworker.%1$I WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM queueworker.%1$I WHERE queue_id = $1 AND pos IS NULL ORDER BY queue_id, run_at LIMIT $2
      FOR UPDATE SKIP LOCKED))', q.part) USING q.id, most;
    GET DIAGNOSTICS batch = ROW_COUNT;
    emptied := emptied + batch;
    DELETE FROM claim WHERE queue_id = q.id;
  END LOOP;
  RETURN emptied;
END $$;

CREATE OR REPLACE FUNCTION queueworker.prepare_partition(part text) RETURNS void
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
  PERFORM grant_partition(part);
END $$;

-- Of a row a worker changes what claims and completions change: no payload.
CREATE FUNCTION queueworker.grant_partition(part text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  IF role_exists('queueworker_worker') THEN
    EXECUTE format('GRANT SELECT, UPDATE (token, attempt, pos, run_at, crash_count), DELETE ON queueworker.%I
      TO queueworker_worker', part);
  END IF;
END $$;

CREATE FUNCTION queueworker.grant_roles_queues() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  PERFORM grant_partition(part) FROM (SELECT q.part FROM queue AS q UNION SELECT 'job_default' UNION SELECT 'job') AS p;
  IF role_exists('queueworker_worker') THEN
    -- A move that its command left behind goes on.
    GRANT EXECUTE ON FUNCTION queueworker.queue_move_some TO queueworker_worker;
  END IF;
END $$;
