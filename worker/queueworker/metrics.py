"""What a worker tells Prometheus about itself; a queue's own gauges come from the operator."""

from prometheus_client import Counter, Gauge, Histogram

from queueworker.tallied import TalliedHistogram
from queueworker.waits import WAIT_EDGES_S

_SHORT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_LONG_S = (0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)

# The edges of waits are those of the database's wait histogram: 0.01 s to 31 hours by factors of
# the root of 2, of which each fourth is published.
JOB_WAIT = TalliedHistogram(
    "queueworker_job_wait_seconds",
    "Time from ready to the start of the handler.",
    ["queue"],
    WAIT_EDGES_S,
    step=4,
)
JOB_RUN = TalliedHistogram(
    "queueworker_job_run_seconds",
    "Time from the start to the end of the handler.",
    ["queue", "task"],
    _LONG_S,
)
JOBS = Counter("queueworker_jobs_total", "Runs that ended, by outcome.", ["queue", "outcome"])
CLAIM = Histogram(
    "queueworker_claim_seconds",
    "Round trip of a claim.",
    ["queue"],
    buckets=_SHORT_S,
)
CLAIMS_EMPTY = Counter("queueworker_claims_empty_total", "Claims that found nothing.", ["queue"])
REFUSED = Counter(
    "queueworker_completions_refused_total",
    "Completions that came after the job was given to another worker, or cancelled.",
    ["queue"],
)
LEASE_RENEW = Histogram(
    "queueworker_lease_renew_seconds", "Round trip of a lease renewal.", buckets=_SHORT_S
)
LEASE_LOST = Counter("queueworker_lease_lost_total", "Leases that ended before the worker did.")
LOOP_BLOCKED = Counter(
    "queueworker_loop_blocked_seconds_total",
    "Time in which a handler kept the event loop, or the whole process, from going on.",
)
SLOTS = Gauge("queueworker_slots", "Slots of this worker, by state.", ["state"])
HELD = Gauge("queueworker_held_jobs", "Jobs claimed and not started yet.")
DRAIN = Histogram("queueworker_drain_seconds", "Time from SIGTERM to the end.", buckets=_LONG_S)
DRAIN_RELEASED = Counter(
    "queueworker_drain_released_total", "Jobs given back by a drain, started or not."
)
RECONNECTS = Counter(
    "queueworker_database_reconnects_total", "Connections opened again after a loss.", ["purpose"]
)
CONFLICTS = Counter(
    "queueworker_database_conflicts_total",
    "Statements rolled back by a deadlock or a serialization failure, and done again.",
    ["purpose"],
)
LOCK_TIMEOUTS = Counter(
    "queueworker_database_lock_timeouts_total",
    "Statements given up because another transaction kept a lock too long; done again later.",
    ["purpose"],
)
LISTENING = Gauge(
    "queueworker_listening",
    "1 while notifications are proved to arrive; else the worker polls.",
)
OLDEST_TRANSACTION = Gauge(
    "queueworker_database_oldest_transaction_seconds",
    "Age of the oldest open transaction: it keeps dead rows, and claims grow slow after hours.",
)
TRANSACTION_ID_AGE = Gauge(
    "queueworker_database_transaction_id_age",
    "Age of the database's oldest transaction id, in transactions; 2,000 million stop the server.",
)
