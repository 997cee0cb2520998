-- Grant the roles that exist their rights.
SELECT queueworker.grant_roles(), queueworker.grant_roles_history()
