-- End the leases of dead pods; gives how many jobs went back to ready (scans `worker`).
SELECT queueworker.end_lease(
  pods => %(pods)s::text[],
  namespaces => %(namespaces)s::text[],
  uids => %(uids)s::text[]
) AS released;
