-- What is kept of QueueWorkers that are gone goes in time, whether or not others write.

-- An operator saves what it learned of each QueueWorker every few minutes: one whose state nobody saved for
-- 30 days is gone, and its history with it. A name has at most 300 decisions. Minutes of a DryRun: 7 days.
CREATE FUNCTION queueworker.forget_queueworkers(most int) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  WITH gone AS (
    DELETE FROM operator_state WHERE name IN (
      SELECT old.name FROM operator_state AS old WHERE old.saved_at < clock_timestamp() - interval '30 days'
      LIMIT greatest(most / 300, 1) FOR UPDATE SKIP LOCKED)
    RETURNING name
  )
  DELETE FROM decision AS d USING gone WHERE d.name = gone.name;
  DELETE FROM dry_run_minute WHERE ctid = ANY (ARRAY(
    SELECT old.ctid FROM dry_run_minute AS old WHERE old.minute < clock_timestamp() - interval '7 days'
    ORDER BY old.minute LIMIT most FOR UPDATE SKIP LOCKED))
$$;

-- As before, and forgets QueueWorkers.
CREATE OR REPLACE FUNCTION queueworker.maintain(at_once boolean = false, most int = 5000)
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
  PERFORM forget_queueworkers(most);
  has_more := greatest(finished_deleted, dead_deleted, failures_seen, workers_forgotten) >= most;
  IF NOT has_more THEN
    UPDATE maintenance SET maintained_at = clock_timestamp();
  END IF;
  -- Last, because it locks the parent until the end of the transaction.
  days_dropped := drop_finished_days();
  RETURN NEXT;
END $$;
