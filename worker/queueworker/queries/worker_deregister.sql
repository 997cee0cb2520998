-- End a lease; by primary key.
DELETE FROM queueworker.worker
WHERE id = %(id)s::uuid
