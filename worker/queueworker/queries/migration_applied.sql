-- The applied migrations in order; by primary key.
SELECT version, name, checksum
FROM queueworker.migration
ORDER BY version
