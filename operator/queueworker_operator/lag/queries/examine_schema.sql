-- The number of the last applied migration (primary key).
SELECT max(version) AS version
FROM queueworker.migration;
