"""The history checker: does what the database and its clients saw keep the delivery contract?

`record` makes triggers write the log, `read` gives it with what the clients know, `check` (pure)
gives every broken promise:

I1  each committed enqueue, and no other, ends in exactly one terminal event; one job per unique key
I2  at most one terminal event in a job's life
I3  no write is accepted under a token that does not own the job; tokens rise
I4  two leases on one job never overlap in the database's time
I5  effects: in the acknowledging transaction once, and never for another end; outside at least
    once, fenced by rising tokens
I6  order: strict for one worker, boundedly inverted for several; no job waits while a slot idles
I7  every start ends once (completed, failed, released or lost) and is counted and charged as such
I8  a crash is charged to all that had started, and the third is the end
I9  nothing is written for a job after its release
"""

from tests.support.history.check import check, invariants
from tests.support.history.events import (
    ENDS,
    TERMINAL,
    Counts,
    Event,
    History,
    Idle,
    Kind,
    LeaseChange,
    LeaseKind,
    Place,
    Violation,
    Write,
)
from tests.support.history.record import Journal, read, record

__all__ = [
    "ENDS",
    "TERMINAL",
    "Counts",
    "Event",
    "History",
    "Idle",
    "Journal",
    "Kind",
    "LeaseChange",
    "LeaseKind",
    "Place",
    "Violation",
    "Write",
    "check",
    "invariants",
    "read",
    "record",
]
