"""Sweeps beside transactions that commit late: what lets time pass for them, and who they are."""

# A tick waits 3 s for those that may have drawn before it.
AGE_TICK = "UPDATE queueworker.queue SET tick_at = tick_at - interval '4 s'"
BUDGET = "UPDATE queueworker.queue SET low_from = '-infinity'"
LATE = "SELECT cardinality(late) FROM queueworker.queue"
