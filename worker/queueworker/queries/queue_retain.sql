-- Set how long a queue keeps what, in seconds; NULL leaves a setting as it is. False without such a queue.
SELECT queueworker.queue_retain(
  %(queue)s::text,
  make_interval(secs => %(finished_s)s::float8),
  make_interval(secs => %(dead_s)s::float8),
  make_interval(secs => %(failures_s)s::float8)
)
