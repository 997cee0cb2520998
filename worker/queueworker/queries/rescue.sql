-- Give back the jobs of workers whose lease is over.
SELECT queueworker.rescue()
