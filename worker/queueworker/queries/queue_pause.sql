-- Stop or allow claims from a queue; false when it does not exist.
SELECT queueworker.queue_pause(%(queue)s::text, %(paused)s::boolean)
