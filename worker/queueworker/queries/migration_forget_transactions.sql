-- Forget the transactions of another server, from which this database was restored: their numbers are of the
-- future here, and floors would wait for them. Of a moving queue the highest number is a mark. A few rows; no index.
UPDATE queueworker.queue
SET tick_xid = CASE WHEN tick_xid = '9223372036854775807' THEN tick_xid ELSE '0' END,
  late = '{}',
  moved_xid = CASE WHEN moved_xid > pg_snapshot_xmax(pg_current_snapshot()) THEN '0' ELSE moved_xid END
WHERE tick_xid > pg_snapshot_xmax(pg_current_snapshot()) AND tick_xid <> '9223372036854775807'
  OR moved_xid > pg_snapshot_xmax(pg_current_snapshot())
