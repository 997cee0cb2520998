-- Which pod a worker runs in: pods of several namespaces may bear one name, pods of several clusters also
-- one namespace. Empty: not told (a worker of an earlier version, or outside of Kubernetes).
ALTER TABLE queueworker.worker ADD COLUMN pod_uid text NOT NULL DEFAULT '';

-- Arguments and columns are only added: older workers and operators call all this as before.
DROP FUNCTION queueworker.register_worker(uuid, text, text, text, text, text[], text[], int, float8);
CREATE FUNCTION queueworker.register_worker(
  id uuid, pod text, namespace text, node text, version text, queues text[], tasks text[], slots int,
  ttl_s float8, pod_uid text = ''
) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  SELECT ensure_queue(name) FROM unnest(queues) AS name ORDER BY name;
  INSERT INTO worker (id, pod, namespace, node, version, queues, tasks, slots, busy_by_queue, held_by_queue,
    expires_at, pod_uid)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, array_fill(0, ARRAY[cardinality($6)]),
    array_fill(0, ARRAY[cardinality($6)]), clock_timestamp() + make_interval(secs => $9), $10)
$$;

DROP FUNCTION queueworker.worker_state(text[]);
CREATE FUNCTION queueworker.worker_state(queues text[])
RETURNS TABLE (
  worker_id uuid, pod text, namespace text, node text, version text, queues text[], tasks text[],
  slots int, busy int, held int, oldest_start_age_s float8, drain bool, draining bool,
  lease_remaining_s float8, started_age_s float8, pod_uid text
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  SELECT w.id, w.pod, w.namespace, w.node, w.version, w.queues, w.tasks, w.slots, w.busy, w.held,
    extract(epoch FROM clock_timestamp() - w.oldest_start_at)::float8, w.drain, w.draining,
    extract(epoch FROM w.expires_at - clock_timestamp())::float8,
    extract(epoch FROM clock_timestamp() - w.started_at)::float8, w.pod_uid
  FROM queueworker.worker AS w
  WHERE w.queues && $1 AND w.expires_at >= (SELECT leases_alive_from())
  ORDER BY w.started_at, w.id
$$;

-- Pods that are gone need no time to live, and no hold: somebody knows that they are gone. With `namespaces`
-- and `uids` beside `pods`, a row is of a pod of its name by the UID where both have one, else by the namespace.
-- Without, by the name in any namespace, or by `namespace/pod`. A pod whose container restarted may have a
-- new worker by now: rows of the last seconds are left alone.
DROP FUNCTION queueworker.end_lease(text[]);
CREATE FUNCTION queueworker.end_lease(pods text[], namespaces text[] = NULL, uids text[] = NULL) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  PERFORM pg_current_xact_id(); -- E3
  DELETE FROM worker AS w
  WHERE w.pod <> '' AND w.started_at < clock_timestamp() - interval '5 s' AND CASE
    WHEN namespaces IS NULL THEN w.pod = ANY (pods) OR w.namespace || '/' || w.pod = ANY (pods)
    ELSE EXISTS (
      SELECT FROM unnest(pods, namespaces, uids) AS gone (pod, namespace, uid)
      WHERE gone.pod = w.pod AND CASE
        WHEN w.pod_uid <> '' AND gone.uid <> '' THEN w.pod_uid = gone.uid
        ELSE w.namespace = gone.namespace END)
    END;
  RETURN rescue_claims();
END $$;
