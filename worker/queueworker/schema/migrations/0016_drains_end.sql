-- A drain that the operator asked for ends by itself when the operator does not ask again: pods must not
-- idle for one that is gone, or cut off from the cluster or from here. A person's drain has no end.
ALTER TABLE queueworker.worker ADD COLUMN drain_until timestamptz; -- NULL: until it is undone

CREATE OR REPLACE FUNCTION queueworker.set_drain(worker_ids uuid[], drain bool) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  changed record;
  changes int := 0;
BEGIN
  FOR changed IN
    UPDATE worker AS w SET drain = set_drain.drain, drain_until = NULL
    FROM (SELECT id, worker.drain AS was FROM worker WHERE id = ANY (worker_ids) ORDER BY id FOR NO KEY UPDATE) AS before
    WHERE w.id = before.id AND (before.was <> set_drain.drain OR w.drain_until IS NOT NULL)
    RETURNING w.id, before.was <> set_drain.drain AS is_news
  LOOP
    CONTINUE WHEN NOT changed.is_news;
    changes := changes + 1;
    PERFORM pg_notify('queueworker', 'drain:' || changed.id);
  END LOOP;
  RETURN changes;
END $$;

-- Ask workers to drain for so long; asked again, for so long from then. A drain without an end stays one.
-- Gives how many began to drain.
CREATE FUNCTION queueworker.drain_for(worker_ids uuid[], seconds float8) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  changed record;
  changes int := 0;
BEGIN
  FOR changed IN
    UPDATE worker AS w SET drain = true, drain_until = clock_timestamp() + make_interval(secs => seconds)
    FROM (SELECT id, worker.drain AS was FROM worker WHERE id = ANY (worker_ids) ORDER BY id FOR NO KEY UPDATE) AS before
    WHERE w.id = before.id AND (NOT before.was OR w.drain_until IS NOT NULL)
    RETURNING w.id, NOT before.was AS is_news
  LOOP
    CONTINUE WHEN NOT changed.is_news;
    changes := changes + 1;
    PERFORM pg_notify('queueworker', 'drain:' || changed.id);
  END LOOP;
  RETURN changes;
END $$;

-- Let workers claim again whose drain nobody asked for any more. A row that is locked: the next time.
CREATE FUNCTION queueworker.end_drains() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  ended uuid;
BEGIN
  FOR ended IN
    UPDATE worker SET drain = false, drain_until = NULL WHERE id IN (
      SELECT id FROM worker WHERE drain_until < clock_timestamp() FOR NO KEY UPDATE SKIP LOCKED
    ) RETURNING id
  LOOP
    PERFORM pg_notify('queueworker', 'drain:' || ended);
  END LOOP;
END $$;

-- Ends leases, by one at a time; the others need not wait for it. Drains end with them.
CREATE OR REPLACE FUNCTION queueworker.remove_expired_workers() RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
DECLARE
  judged queueworker.rescue_state;
  now_at timestamptz := clock_timestamp();
  removed int := 0;
BEGIN
  SELECT * INTO judged FROM rescue_state FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN 0;
  END IF;
  judged := judge_leases(judged, now_at);
  UPDATE rescue_state SET looked_at = judged.looked_at, held_until = judged.held_until,
    held_reason = judged.held_reason;
  IF judged.held_until IS NULL THEN
    DELETE FROM worker WHERE id IN (
      SELECT id FROM worker WHERE expires_at < clock_timestamp() FOR UPDATE SKIP LOCKED
    ) AND expires_at < clock_timestamp();
    GET DIAGNOSTICS removed = ROW_COUNT;
  END IF;
  PERFORM end_drains();
  RETURN removed;
END $$;

CREATE FUNCTION queueworker.grant_roles_drains() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  REVOKE ALL ON ALL FUNCTIONS IN SCHEMA queueworker FROM PUBLIC;
  IF role_exists('queueworker_operator') THEN
    GRANT EXECUTE ON FUNCTION queueworker.drain_for TO queueworker_operator;
  END IF;
END $$;
