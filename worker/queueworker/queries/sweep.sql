-- Promote what is due, raise floors, rescue, roll counters up; the floors of the lanes come back.
SELECT lane, floor, first_ready_pos, promoted
FROM queueworker.sweep_queue(%(queue_id)s::int, %(lanes)s::int[])
