-- Workers draw positions, tokens and counts themselves. All other numbers are drawn for them by
-- functions or identity columns: whoever could use up `queue_id` would stop the making of queues.
CREATE FUNCTION queueworker.grant_roles_rights() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  IF role_exists('queueworker_worker') THEN
    REVOKE USAGE ON SEQUENCE queueworker.queue_id, queueworker.job_scheduled_id, queueworker.lane_id_seq,
      queueworker.failure_id_seq, queueworker.stat_id_seq, queueworker.decision_id_seq
      FROM queueworker_worker;
  END IF;
END $$;
