-- End the leases of dead pods; gives how many jobs went back to ready (scans `worker`).
SELECT queueworker.end_lease(%(pods)s::text[]) AS released;
