-- How often each job of the replay was started, and when first, by the tasks' own ledger.
SELECT
    job_id AS id,
    count(*) AS runs,
    extract(EPOCH FROM min(started_at))::float8 AS started_s
FROM ledger
WHERE job_id = ANY(%(ids)s)
GROUP BY job_id
