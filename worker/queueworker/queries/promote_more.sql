-- Promote the next batch of a burst of due jobs; by the index (queue_id, run_at) of scheduled rows.
SELECT queueworker.promote_more(%(queue_id)s::int)
