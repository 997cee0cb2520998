-- Say how many jobs of a claim may have started; by primary key.
UPDATE queueworker.claim
SET started = least(%(started)s::int, cardinality(ids))
WHERE token = %(token)s::bigint
