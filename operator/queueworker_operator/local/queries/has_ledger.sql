-- Whether the tasks keep a ledger. Served by the catalogue.
SELECT to_regclass('ledger') IS NOT NULL AS has_ledger
