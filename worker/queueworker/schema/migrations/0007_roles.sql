-- Least rights. The roles may be made later: migrate calls this after each run.
CREATE FUNCTION queueworker.grant_roles() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  part text;
BEGIN
  -- Functions are executable by everybody unless that is withdrawn.
  REVOKE ALL ON ALL FUNCTIONS IN SCHEMA queueworker FROM PUBLIC;
  IF role_exists('queueworker_enqueue') THEN
    GRANT USAGE ON SCHEMA queueworker TO queueworker_enqueue;
    GRANT EXECUTE ON FUNCTION queueworker.enqueue, queueworker.enqueue_many TO queueworker_enqueue;
  END IF;
  IF role_exists('queueworker_reader') THEN
    GRANT USAGE ON SCHEMA queueworker TO queueworker_reader;
    GRANT EXECUTE ON FUNCTION queueworker.queue_lag, queueworker.worker_state, queueworker.decisions
      TO queueworker_reader;
    GRANT SELECT ON queueworker.jobs, queueworker.queue, queueworker.migration TO queueworker_reader;
  END IF;
  IF role_exists('queueworker_operator') THEN
    GRANT USAGE ON SCHEMA queueworker TO queueworker_operator;
    GRANT EXECUTE ON FUNCTION queueworker.queue_lag, queueworker.worker_state, queueworker.decisions,
      queueworker.set_drain, queueworker.end_lease, queueworker.sweep, queueworker.rescue,
      queueworker.save_state, queueworker.load_state, queueworker.record_decision
      TO queueworker_operator;
    GRANT SELECT ON queueworker.migration TO queueworker_operator;
  END IF;
  IF role_exists('queueworker_worker') THEN
    GRANT USAGE ON SCHEMA queueworker TO queueworker_worker;
    GRANT EXECUTE ON FUNCTION queueworker.enqueue, queueworker.enqueue_many, queueworker.ensure_queue,
      queueworker.register_worker, queueworker.sweep_queue, queueworker.rescue, queueworker.set_idle,
      queueworker.queue_lag, queueworker.worker_state TO queueworker_worker;
    GRANT SELECT ON queueworker.migration, queueworker.queue, queueworker.lane, queueworker.jobs,
      queueworker.failure TO queueworker_worker;
    -- Of a row it changes what claims, completions and renewals change: no payload, no drain flag.
    GRANT SELECT, DELETE ON queueworker.job, queueworker.worker, queueworker.claim TO queueworker_worker;
    GRANT UPDATE (token, attempt, pos, run_at) ON queueworker.job TO queueworker_worker;
    GRANT UPDATE (started) ON queueworker.claim TO queueworker_worker;
    GRANT UPDATE (slots, busy, held, busy_by_queue, held_by_queue, draining, oldest_start_at, renewed_at,
      expires_at) ON queueworker.worker TO queueworker_worker;
    GRANT INSERT ON queueworker.claim, queueworker.failure, queueworker.dead_job, queueworker.stat
      TO queueworker_worker;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA queueworker TO queueworker_worker;
    FOR part IN SELECT DISTINCT q.part FROM queue AS q UNION SELECT 'job_default' LOOP
      EXECUTE format('GRANT SELECT, UPDATE (token, attempt, pos, run_at), DELETE ON queueworker.%I
        TO queueworker_worker', part);
    END LOOP;
  END IF;
END $$;
