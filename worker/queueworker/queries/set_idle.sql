-- Ask for a notification at the next enqueue, or withdraw that.
SELECT queueworker.set_idle(%(queue_id)s::int, %(idle)s::boolean)
