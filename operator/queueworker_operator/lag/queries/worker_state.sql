-- List the live workers of the given queues as their last renewal described them (scans `worker`).
SELECT
  worker_id::text AS worker_id,
  pod,
  namespace,
  pod_uid,
  slots,
  busy,
  held,
  oldest_start_age_s,
  drain,
  draining,
  drain_age_s,
  drain_remaining_s,
  started_age_s,
  lease_remaining_s,
  version
FROM queueworker.worker_state(%(queues)s::text[]);
