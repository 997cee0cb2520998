"""The only caller of SQL at run time: one method per statement, rows as frozen values."""

from queueworker.connection import (
    COMMAND,
    PRODUCER,
    connect,
    connect_sync,
    deadline,
)
from queueworker.pooler import WorkerConnection
from queueworker.store.administration import Administration
from queueworker.store.cancellation import CancelCount
from queueworker.store.completion import complete_in
from queueworker.store.dead import DeadCount, DeadJob, Failure, KeyConflict, Selection, ShownJob
from queueworker.store.lag import LagRow, WorkerStateRow
from queueworker.store.moves import MoveState, MoveStep, QueueContents
from queueworker.store.open_claims import OpenClaims
from queueworker.store.rows import (
    NO_DELTA,
    ClaimRequest,
    LaneRow,
    QueueRow,
    QueueSummary,
    Renewal,
    Retention,
    Settlement,
    StatDelta,
    SweptLane,
    Upkeep,
    WorkerLoad,
    WorkerRow,
)
from queueworker.store.store import Store
from queueworker.translation import translated

__all__ = [
    "COMMAND",
    "NO_DELTA",
    "PRODUCER",
    "Administration",
    "CancelCount",
    "ClaimRequest",
    "DeadCount",
    "DeadJob",
    "Failure",
    "KeyConflict",
    "LagRow",
    "LaneRow",
    "MoveState",
    "MoveStep",
    "OpenClaims",
    "QueueContents",
    "QueueRow",
    "QueueSummary",
    "Renewal",
    "Retention",
    "Selection",
    "Settlement",
    "ShownJob",
    "StatDelta",
    "Store",
    "SweptLane",
    "Upkeep",
    "WorkerConnection",
    "WorkerLoad",
    "WorkerRow",
    "WorkerStateRow",
    "complete_in",
    "connect",
    "connect_sync",
    "deadline",
    "translated",
]
