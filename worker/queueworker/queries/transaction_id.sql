-- The id of this transaction, by which `transaction_outcome` tells what became of it.
SELECT pg_current_xact_id()::text
