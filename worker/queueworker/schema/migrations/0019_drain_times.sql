-- For how long a worker drains: since it was asked to, or said that it does (a SIGTERM), whichever came first.
-- NULL: it does not, or it began before this was noted.
ALTER TABLE queueworker.worker ADD COLUMN drain_at timestamptz;

-- Noted here, not by who drains: workers of earlier versions tell it as well, and none needs a right on the time.
-- Not before the update: that would lock the row at each renewal, a third more of the log.
CREATE FUNCTION queueworker.note_drain() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  UPDATE worker SET drain_at = CASE WHEN NEW.drain OR NEW.draining THEN clock_timestamp() END WHERE id = NEW.id;
  RETURN NULL;
END $$;
CREATE TRIGGER note_drain AFTER UPDATE OF drain, draining ON queueworker.worker
FOR EACH ROW WHEN ((OLD.drain OR OLD.draining) <> (NEW.drain OR NEW.draining))
EXECUTE FUNCTION queueworker.note_drain();

-- As before, and for how long it drains; how long until that ends by itself, unless asked for again (NULL: it does not).
DROP FUNCTION queueworker.worker_state(text[]);
CREATE FUNCTION queueworker.worker_state(queues text[])
RETURNS TABLE (
  worker_id uuid, pod text, namespace text, node text, version text, queues text[], tasks text[],
  slots int, busy int, held int, oldest_start_age_s float8, drain bool, draining bool,
  lease_remaining_s float8, started_age_s float8, pod_uid text, drain_age_s float8, drain_remaining_s float8
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  SELECT w.id, w.pod, w.namespace, w.node, w.version, w.queues, w.tasks, w.slots, w.busy, w.held,
    extract(epoch FROM clock_timestamp() - w.oldest_start_at)::float8, w.drain, w.draining,
    extract(epoch FROM w.expires_at - clock_timestamp())::float8,
    extract(epoch FROM clock_timestamp() - w.started_at)::float8, w.pod_uid,
    extract(epoch FROM clock_timestamp() - w.drain_at)::float8,
    extract(epoch FROM w.drain_until - clock_timestamp())::float8
  FROM queueworker.worker AS w
  WHERE w.queues && $1 AND w.expires_at >= (SELECT leases_alive_from())
  ORDER BY w.started_at, w.id
$$;
