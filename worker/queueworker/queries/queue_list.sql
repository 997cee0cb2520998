-- All queues with their counts; as cheap as one reading of their lag.
SELECT q.name, q.part, q.paused, lag.ready, lag.running, lag.scheduled, lag.dead,
  extract(epoch FROM q.finished_for)::float8 AS finished_s, extract(epoch FROM q.dead_for)::float8 AS dead_s,
  EXISTS (SELECT FROM queueworker.queue AS tail WHERE tail.tail_of = q.id) AS moving
FROM queueworker.queue AS q
JOIN queueworker.queue_lag(ARRAY(SELECT name FROM queueworker.queue WHERE tail_of IS NULL)) AS lag
  ON lag.queue = q.name
ORDER BY q.name
