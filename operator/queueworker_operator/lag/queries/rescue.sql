-- Give back the jobs of workers whose lease is over (scans `worker` and `claim`).
SELECT queueworker.rescue() AS rescued;
