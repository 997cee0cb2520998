-- Enqueue ready jobs of one kind at reserved positions.
COPY queueworker.job (id, pos, lane_id, queue_id, created_at, run_at, max_attempts, timeout_s, args) FROM STDIN
