-- Take suspects out of a claim into one of their own, of which none has started: a neighbour's crash is
-- not theirs. Of the others the first `may_start` may start. Gives the new token; NULL: they are lost.
CREATE FUNCTION queueworker.isolate(of_token bigint, suspects bigint[], may_start int) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
  mixed queueworker.claim;
  new_token bigint;
  moved bigint[];
BEGIN
  SELECT * INTO mixed FROM claim WHERE token = of_token FOR UPDATE;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  new_token := nextval('queueworker.job_token');
  WITH isolated AS (
    UPDATE job SET token = new_token
    WHERE queue_id = mixed.queue_id AND id = ANY (suspects) AND token = of_token RETURNING id
  )
  SELECT array_agg(id ORDER BY array_position(suspects, id)) INTO moved FROM isolated;
  UPDATE claim SET started = may_start, ids = ARRAY(
    SELECT u.id FROM unnest(mixed.ids) WITH ORDINALITY AS u (id, place)
    WHERE u.id <> ALL (suspects) ORDER BY u.place
  ) WHERE token = of_token;
  IF moved IS NULL THEN
    RETURN NULL;
  END IF;
  INSERT INTO claim (token, worker_id, queue_id, started, ids)
  VALUES (new_token, mixed.worker_id, mixed.queue_id, 0, moved);
  RETURN new_token;
END $$;

CREATE FUNCTION queueworker.grant_roles_claims() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  IF role_exists('queueworker_worker') THEN
    GRANT EXECUTE ON FUNCTION queueworker.isolate TO queueworker_worker;
  END IF;
END $$;
