-- Make partitions ahead and remove what is too old; does nothing within a minute of the last time (one row).
SELECT has_more
FROM queueworker.maintain();
