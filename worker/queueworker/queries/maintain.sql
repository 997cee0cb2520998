-- The upkeep of the database; no row when it was done lately or somebody else is at it.
SELECT days_made, days_dropped, finished_deleted, dead_deleted, failures_deleted, workers_forgotten, has_more
FROM queueworker.maintain(%(at_once)s::boolean)
