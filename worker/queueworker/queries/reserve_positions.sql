-- Draw positions for a COPY in this transaction; the time is text that COPY reads in any date style.
SELECT queue_id, lane_id, to_char(now_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00'), positions
FROM queueworker.reserve_positions(%s::text, %s::text, %s::int, %s::int, %s::float8, %s::int)
