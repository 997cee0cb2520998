-- Take suspects out of a claim into one of their own; by primary key.
SELECT queueworker.isolate(%(token)s::bigint, %(suspects)s::bigint[], %(started)s::int)
