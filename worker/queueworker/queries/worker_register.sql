-- Start a worker's lease.
SELECT queueworker.register_worker(
  id => %(id)s::uuid,
  pod => %(pod)s::text,
  namespace => %(namespace)s::text,
  node => %(node)s::text,
  version => %(version)s::text,
  queues => %(queues)s::text[],
  tasks => %(tasks)s::text[],
  slots => %(slots)s::int,
  ttl_s => %(ttl_s)s::float8,
  pod_uid => %(pod_uid)s::text
)
