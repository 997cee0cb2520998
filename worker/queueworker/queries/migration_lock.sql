-- One migrator at a time in a database; held until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('queueworker.migration', 0))
