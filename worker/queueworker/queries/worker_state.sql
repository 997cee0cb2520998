-- The live workers of these queues.
SELECT
  worker_id,
  pod,
  namespace,
  node,
  version,
  queues,
  tasks,
  slots,
  busy,
  held,
  oldest_start_age_s,
  drain,
  draining,
  lease_remaining_s,
  started_age_s,
  pod_uid
FROM queueworker.worker_state(%(queues)s::text[])
