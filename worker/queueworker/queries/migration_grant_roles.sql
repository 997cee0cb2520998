-- Grant the roles that exist their rights: one function a part.
SELECT queueworker.grant_roles(), queueworker.grant_roles_claims(), queueworker.grant_roles_producers(), queueworker.grant_roles_history(),
  queueworker.grant_roles_queues(), queueworker.grant_roles_cancellation(), queueworker.grant_roles_rights(),
  queueworker.grant_roles_lag(), queueworker.grant_roles_decisions(), queueworker.grant_roles_drains()
