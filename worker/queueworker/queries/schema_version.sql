-- The number of the last applied migration; by primary key.
SELECT max(version)
FROM queueworker.migration
