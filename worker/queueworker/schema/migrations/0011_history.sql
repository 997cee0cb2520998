-- History: finished jobs by day, errors of attempts, dead letters, and what removes them when they are old.

-- How long a queue keeps what. finished_for: NULL = never kept, 0 = kept once, off now. dead_for: NULL =
-- for ever. failures_for: errors of jobs that are neither dead letters nor in the queue any more.
ALTER TABLE queueworker.queue
  ADD COLUMN finished_for interval CHECK (finished_for >= interval '0'),
  ADD COLUMN dead_for interval CHECK (dead_for > interval '0'),
  ADD COLUMN failures_for interval NOT NULL DEFAULT interval '14 days' CHECK (failures_for > interval '0');

-- One partition a day (UTC); appended by the statement that completes, never updated.
CREATE TABLE queueworker.finished_job (
  id bigint NOT NULL,
  finished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  created_at timestamptz NOT NULL,
  run_at timestamptz NOT NULL,
  claimed_at timestamptz,                           -- NULL: it never started
  timeout_s float8,
  lane_id int NOT NULL,
  queue_id int NOT NULL,
  attempt smallint NOT NULL,
  max_attempts smallint NOT NULL,
  crash_count smallint NOT NULL,
  worker_id uuid,
  state text NOT NULL,                              -- succeeded, cancelled
  unique_key text,
  args jsonb NOT NULL
) PARTITION BY RANGE (finished_at);
CREATE INDEX finished_job_id ON queueworker.finished_job (id);
CREATE INDEX finished_job_queue ON queueworker.finished_job (queue_id, finished_at);

-- The net: a completion finds a place also where nobody made the day's partition.
CREATE TABLE queueworker.finished_job_default PARTITION OF queueworker.finished_job DEFAULT;

-- Who a worker was, after its row has gone: errors and finished jobs name it by its id.
CREATE TABLE queueworker.past_worker (
  id uuid PRIMARY KEY,
  pod text NOT NULL,
  namespace text NOT NULL,
  node text NOT NULL,
  version text NOT NULL,
  started_at timestamptz NOT NULL
);
INSERT INTO queueworker.past_worker SELECT id, pod, namespace, node, version, started_at FROM queueworker.worker;

CREATE FUNCTION queueworker.remember_worker() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  INSERT INTO past_worker VALUES (NEW.id, NEW.pod, NEW.namespace, NEW.node, NEW.version, NEW.started_at)
  ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;
CREATE TRIGGER remember_worker AFTER INSERT ON queueworker.worker
FOR EACH ROW EXECUTE FUNCTION queueworker.remember_worker();

-- The one row of the database's upkeep.
CREATE TABLE queueworker.maintenance (
  is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
  maintained_at timestamptz NOT NULL DEFAULT '-infinity',
  failures_up_to timestamptz NOT NULL DEFAULT '-infinity', -- errors up to here (and this id) were looked at ...
  failures_up_to_id bigint NOT NULL DEFAULT 0,
  failures_anew_at timestamptz NOT NULL DEFAULT '-infinity' -- ... and all are looked at again from then
);
INSERT INTO queueworker.maintenance DEFAULT VALUES;
DROP INDEX queueworker.failure_age;
CREATE INDEX failure_age ON queueworker.failure (failed_at, id);

CREATE FUNCTION queueworker.finished_days() RETURNS TABLE (part text, ends_at timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  SELECT c.relname, (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC'
  FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
  WHERE i.inhparent = 'queueworker.finished_job'::regclass AND c.relname ~ '^finished_job_[0-9]{8}$'
  ORDER BY 2
$$;

-- Partitions for today and the days ahead. Made apart and attached: that waits for no completion and
-- stops none. Where it cannot be had now, the default partition takes the rows and expiry finds them there.
CREATE FUNCTION queueworker.make_finished_days(ahead int = 2) RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp SET lock_timeout = '1 s'
AS $$
DECLARE
  day date;
  part text;
  made int := 0;
BEGIN
  FOR day IN
    SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date + later.days FROM generate_series(0, ahead) AS later (days)
  LOOP
    part := 'finished_job_' || to_char(day, 'YYYYMMDD');
    CONTINUE WHEN to_regclass('queueworker.' || part) IS NOT NULL;
    BEGIN
      EXECUTE format('CREATE TABLE queueworker.%1$I (LIKE queueworker.finished_job INCLUDING ALL);
        ALTER TABLE queueworker.%1$I SET (autovacuum_vacuum_insert_threshold = -1);
        ALTER TABLE queueworker.finished_job ATTACH PARTITION queueworker.%1$I FOR VALUES FROM (%2$L) TO (%3$L)',
        part, to_char(day, 'YYYY-MM-DD') || ' 00:00+00', to_char(day + 1, 'YYYY-MM-DD') || ' 00:00+00');
      made := made + 1;
    EXCEPTION
      WHEN lock_not_available OR check_violation THEN NULL; -- the default partition already has rows of that day
    END;
  END LOOP;
  RETURN made;
END $$;

-- Whole days that no queue keeps any more. First emptied under a lock on the day alone, so that the space
-- is free at once; the table goes when its parent can be had within a moment: completions wait for no more.
CREATE FUNCTION queueworker.drop_finished_days() RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp SET lock_timeout = '100 ms'
AS $$
DECLARE
  old record;
  dropped int := 0;
BEGIN
  FOR old IN
    SELECT part FROM finished_days()
    WHERE ends_at <= clock_timestamp() - (SELECT coalesce(max(finished_for), interval '0') FROM queue)
  LOOP
    BEGIN
      EXECUTE format('TRUNCATE queueworker.%I', old.part);
      dropped := dropped + 1;
      EXECUTE format('DROP TABLE queueworker.%I', old.part);
    EXCEPTION
      WHEN lock_not_available THEN NULL; -- the next upkeep tries again
    END;
  END LOOP;
  RETURN dropped;
END $$;

-- Finished jobs of queues that keep them for less long than others do, and old ones in the default partition.
CREATE FUNCTION queueworker.expire_finished(most int) RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
DECLARE
  longest interval := (SELECT max(finished_for) FROM queue);
  place record;
  batch int;
  expired int := 0;
BEGIN
  -- Days that end before the longest retention are dropped whole; here the others' rows go.
  FOR place IN
    SELECT part, greatest(longest, interval '1 s') AS below FROM finished_days()
    UNION ALL SELECT 'finished_job_default', longest + interval '1 s'
  LOOP
    EXIT WHEN longest IS NULL OR expired >= most;
    EXECUTE format('DELETE FROM queueworker.%1$I WHERE ctid = ANY (ARRAY(
        SELECT old.ctid FROM queueworker.queue AS q
        CROSS JOIN LATERAL (
          SELECT f.ctid FROM queueworker.%1$I AS f
          WHERE f.queue_id = q.id AND f.finished_at < clock_timestamp() - q.finished_for
          ORDER BY f.queue_id, f.finished_at LIMIT $2 FOR UPDATE SKIP LOCKED
        ) AS old
        WHERE q.finished_for < $1 LIMIT $2))', place.part)
      USING place.below, most - expired;
    GET DIAGNOSTICS batch = ROW_COUNT;
    expired := expired + batch;
  END LOOP;
  RETURN expired;
END $$;

-- Dead letters beyond their queue's retention, with their errors.
CREATE FUNCTION queueworker.expire_dead(most int) RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
DECLARE
  q queueworker.queue;
  batch int;
  expired int := 0;
BEGIN
  PERFORM pg_current_xact_id(); -- E3
  FOR q IN SELECT * FROM queue WHERE dead_for IS NOT NULL LOOP
    EXIT WHEN expired >= most;
    batch := bury_for_good(q.id, ARRAY(
      SELECT id FROM dead_job
      WHERE queue_id = q.id AND died_at < clock_timestamp() - q.dead_for
      ORDER BY queue_id DESC, died_at LIMIT most - expired FOR UPDATE SKIP LOCKED));
    expired := expired + batch;
  END LOOP;
  RETURN expired;
END $$;

-- Delete these dead letters of a queue and what is known of their attempts.
CREATE FUNCTION queueworker.bury_for_good(of_queue int, job_ids bigint[]) RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  buried int;
BEGIN
  DELETE FROM dead_job WHERE id = ANY (job_ids) AND queue_id = of_queue;
  GET DIAGNOSTICS buried = ROW_COUNT;
  IF buried > 0 THEN
    DELETE FROM failure WHERE job_id = ANY (job_ids) AND queue_id = of_queue;
    INSERT INTO stat (queue_id, dead) VALUES (of_queue, -buried);
  END IF;
  RETURN buried;
END $$;

-- Errors of jobs that have left the queue otherwise: each is looked at once when it is old, and all again
-- once a day, because a dead letter may have been retried since.
CREATE FUNCTION queueworker.expire_failures(most int, OUT expired int, OUT looked_at int)
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
DECLARE
  upkeep queueworker.maintenance;
  last_at timestamptz;
  last_id bigint;
BEGIN
  SELECT * INTO upkeep FROM maintenance;
  IF clock_timestamp() > upkeep.failures_anew_at THEN
    upkeep.failures_up_to := '-infinity';
    upkeep.failures_up_to_id := 0;
    upkeep.failures_anew_at := clock_timestamp() + interval '1 day';
  END IF;
  WITH old AS MATERIALIZED (
    SELECT f.id, f.job_id, f.queue_id, f.failed_at FROM failure AS f
    WHERE (f.failed_at, f.id) > (upkeep.failures_up_to, upkeep.failures_up_to_id)
      AND f.failed_at < clock_timestamp() - (SELECT min(failures_for) FROM queue)
    ORDER BY f.failed_at, f.id LIMIT most
  ), gone AS (
    DELETE FROM failure AS f USING old AS o, queue AS q
    WHERE f.id = o.id AND q.id = o.queue_id
      AND o.failed_at < clock_timestamp() - greatest(q.failures_for, q.finished_for)
      AND NOT EXISTS (SELECT FROM dead_job AS d WHERE d.id = o.job_id)
      AND NOT EXISTS (SELECT FROM job AS j WHERE j.id = o.job_id AND j.queue_id = o.queue_id)
    RETURNING f.id
  )
  SELECT (SELECT count(*) FROM gone), count(*), (array_agg(failed_at ORDER BY failed_at DESC, id DESC))[1],
    (array_agg(id ORDER BY failed_at DESC, id DESC))[1]
  INTO expired, looked_at, last_at, last_id FROM old;
  UPDATE maintenance SET failures_up_to = coalesce(last_at, upkeep.failures_up_to),
    failures_up_to_id = coalesce(last_id, upkeep.failures_up_to_id), failures_anew_at = upkeep.failures_anew_at;
END $$;

-- Names of workers that nothing can mention any more.
CREATE FUNCTION queueworker.forget_workers(most int) RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  forgotten int;
BEGIN
  DELETE FROM past_worker WHERE id IN (
    SELECT p.id FROM past_worker AS p
    WHERE p.started_at < clock_timestamp() - (
        SELECT greatest(interval '90 days', max(failures_for), max(finished_for), max(dead_for)) FROM queue)
      AND NOT EXISTS (SELECT FROM worker AS w WHERE w.id = p.id)
    LIMIT most);
  GET DIAGNOSTICS forgotten = ROW_COUNT;
  RETURN forgotten;
END $$;

-- The upkeep of the database, by anyone: each worker and the operator call it about once a minute, and one
-- of them does it (no row: it was done lately, or somebody else is at it). `has_more`: call again soon;
-- one call deletes at most so many rows of each kind, so that it holds no lock for long.
CREATE FUNCTION queueworker.maintain(at_once boolean = false, most int = 5000)
RETURNS TABLE (days_made int, days_dropped int, finished_deleted int, dead_deleted int, failures_deleted int,
  workers_forgotten int, has_more boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  failures_seen int;
  last_at timestamptz := (SELECT m.maintained_at FROM maintenance AS m);
BEGIN
  -- A time of the future: the server's clock was set back.
  IF NOT at_once AND last_at BETWEEN clock_timestamp() - interval '50 s' AND clock_timestamp() THEN
    RETURN;
  END IF;
  IF NOT pg_try_advisory_xact_lock(hashtextextended('queueworker.maintain', 0)) THEN
    RETURN;
  END IF;
  days_made := CASE WHEN EXISTS (SELECT FROM queue WHERE finished_for > interval '0')
    THEN make_finished_days() ELSE 0 END;
  finished_deleted := expire_finished(most);
  dead_deleted := expire_dead(most);
  SELECT f.expired, f.looked_at INTO failures_deleted, failures_seen FROM expire_failures(most) AS f;
  workers_forgotten := forget_workers(most);
  has_more := greatest(finished_deleted, dead_deleted, failures_seen, workers_forgotten) >= most;
  IF NOT has_more THEN
    UPDATE maintenance SET maintained_at = clock_timestamp();
  END IF;
  -- Last, because it locks the parent until the end of the transaction.
  days_dropped := drop_finished_days();
  RETURN NEXT;
END $$;

-- How long a queue keeps what. NULL leaves a setting as it is; 0 keeps no finished jobs, and dead letters
-- for ever. False when there is no such queue.
CREATE FUNCTION queueworker.queue_retain(
  queue_name text, finished interval = NULL, dead interval = NULL, failures interval = NULL
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  IF finished < interval '0' OR dead < interval '0' OR failures <= interval '0' THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
      MESSAGE = 'a retention cannot be negative, and that of failures must be above 0';
  END IF;
  IF NOT EXISTS (SELECT FROM queue WHERE name = queue_name) THEN
    RETURN false;
  END IF;
  -- Before any worker learns of it, so that the first row finds its day.
  IF finished > interval '0' THEN
    PERFORM make_finished_days();
  END IF;
  UPDATE queue SET
    -- Never kept stays NULL: 0 means that rows may have to be removed.
    finished_for = CASE WHEN finished = interval '0' AND finished_for IS NULL THEN NULL
      ELSE coalesce(finished, finished_for) END,
    dead_for = nullif(coalesce(dead, dead_for), interval '0'),
    failures_for = coalesce(failures, failures_for)
  WHERE name = queue_name;
  PERFORM pg_notify('queueworker', 'queue:' || queue_name);
  RETURN true;
END $$;

-- Dead letters become ready again with all their attempts; one whose unique key is taken stays.
CREATE OR REPLACE FUNCTION queueworker.dead_retry(of_queue text, job_ids bigint[] = NULL) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  q queueworker.queue := known_queue(of_queue);
  letter queueworker.dead_job;
  retried int := 0;
BEGIN
  PERFORM pg_current_xact_id(); -- E3
  FOR letter IN
    SELECT * FROM dead_job
    WHERE id = ANY (coalesce(job_ids, ARRAY(SELECT id FROM dead_job WHERE queue_id = q.id))) AND queue_id = q.id
    ORDER BY died_at, id FOR UPDATE SKIP LOCKED
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

-- Dead letters are deleted for good, with their errors.
CREATE OR REPLACE FUNCTION queueworker.dead_purge(of_queue text, job_ids bigint[] = NULL) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  q queueworker.queue := known_queue(of_queue);
BEGIN
  PERFORM pg_current_xact_id(); -- E3
  RETURN bury_for_good(q.id, coalesce(job_ids, ARRAY(SELECT id FROM dead_job WHERE queue_id = q.id)));
END $$;

CREATE FUNCTION queueworker.known_queue(queue_name text) RETURNS queueworker.queue
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  q queueworker.queue;
BEGIN
  SELECT * INTO q FROM queue WHERE name = queue_name;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
      MESSAGE = format('there is no queue %L; see the table queueworker.queue', queue_name);
  END IF;
  RETURN q;
END $$;

CREATE VIEW queueworker.dead_letters AS
SELECT d.id, q.name AS queue, l.task, l.priority, d.attempt, d.max_attempts, d.crash_count, d.kind, d.error,
  d.created_at, d.run_at, d.died_at, d.timeout_s, d.unique_key, d.args
FROM queueworker.dead_job AS d
JOIN queueworker.queue AS q ON q.id = d.queue_id
JOIN queueworker.lane AS l ON l.id = d.lane_id;

-- Every failed attempt that is still known, also of jobs that succeeded later.
CREATE VIEW queueworker.failures AS
SELECT f.id, f.job_id, q.name AS queue, f.attempt, f.kind, f.error, f.failed_at, f.token, f.worker_id, w.pod
FROM queueworker.failure AS f
JOIN queueworker.queue AS q ON q.id = f.queue_id
LEFT JOIN queueworker.past_worker AS w ON w.id = f.worker_id;

-- Every job with its state, for people and dashboards. Finished ones as long as their queue keeps them.
CREATE OR REPLACE VIEW queueworker.jobs AS
SELECT j.id, q.name AS queue, l.task, l.priority,
  CASE
    WHEN j.token > 0 THEN 'running'
    WHEN j.pos IS NULL AND j.run_at > clock_timestamp() THEN 'scheduled'
    ELSE 'ready'
  END AS state,
  j.attempt, j.max_attempts, j.crash_count, j.run_at, j.created_at, NULL::timestamptz AS died_at,
  j.timeout_s, j.unique_key, j.token, NULL::text AS error, j.args,
  NULL::timestamptz AS finished_at, NULL::timestamptz AS claimed_at, NULL::text AS pod
FROM queueworker.job AS j
JOIN queueworker.lane AS l ON l.id = j.lane_id
JOIN queueworker.queue AS q ON q.id = j.queue_id
UNION ALL
SELECT d.id, q.name, l.task, l.priority, 'dead', d.attempt, d.max_attempts, d.crash_count, d.run_at,
  d.created_at, d.died_at, d.timeout_s, d.unique_key, 0, d.error, d.args, d.died_at, NULL, NULL
FROM queueworker.dead_job AS d
JOIN queueworker.lane AS l ON l.id = d.lane_id
JOIN queueworker.queue AS q ON q.id = d.queue_id
UNION ALL
SELECT f.id, q.name, l.task, l.priority, f.state, f.attempt, f.max_attempts, f.crash_count, f.run_at,
  f.created_at, NULL, f.timeout_s, f.unique_key, 0, NULL, f.args, f.finished_at, f.claimed_at, w.pod
FROM queueworker.finished_job AS f
JOIN queueworker.lane AS l ON l.id = f.lane_id
JOIN queueworker.queue AS q ON q.id = f.queue_id AND f.finished_at >= now() - q.finished_for
LEFT JOIN queueworker.past_worker AS w ON w.id = f.worker_id;

CREATE FUNCTION queueworker.grant_roles_history() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  REVOKE ALL ON ALL FUNCTIONS IN SCHEMA queueworker FROM PUBLIC;
  IF role_exists('queueworker_reader') THEN
    GRANT SELECT ON queueworker.dead_letters, queueworker.failures TO queueworker_reader;
  END IF;
  IF role_exists('queueworker_operator') THEN
    GRANT EXECUTE ON FUNCTION queueworker.maintain TO queueworker_operator;
  END IF;
  IF role_exists('queueworker_worker') THEN
    GRANT EXECUTE ON FUNCTION queueworker.maintain TO queueworker_worker;
    GRANT SELECT ON queueworker.dead_letters, queueworker.failures TO queueworker_worker;
    GRANT INSERT ON queueworker.finished_job TO queueworker_worker;
  END IF;
END $$;
