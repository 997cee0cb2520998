-- What became of a transaction: committed, aborted, in progress; null for one long ago.
SELECT pg_xact_status(%(xid)s::text::xid8)
