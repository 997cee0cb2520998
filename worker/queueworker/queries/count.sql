-- Add what a worker counted to its queue's numbers, beside no result.
INSERT INTO queueworker.stat (queue_id, started, busy_s, service_count, service_sum_s,
  service_sq_sum_s2, wait_buckets, wait_counts)
VALUES (%(queue_id)s::int, %(started)s::int, %(busy_s)s::float8, %(service_count)s::int,
  %(service_sum_s)s::float8, %(service_sq_sum_s2)s::float8, %(wait_buckets)s::smallint[],
  %(wait_counts)s::int[])
