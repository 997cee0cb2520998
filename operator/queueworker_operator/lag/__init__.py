"""Where lag comes from: one reading of many queues in one query."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, Protocol

from queueworker_operator.decision.model import PodId
from queueworker_operator.errors import LagUnavailable


class Wake(IntEnum):
    """How much a wake-up matters: `URGENT` is work in a queue that no worker serves."""

    NONE = 0
    ROUTINE = 1
    URGENT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLag:
    """One row of `queueworker.queue_lag`: counters cumulative, times by the database's clock.

    `revision` grows when the row says something else than its time; 0: nobody compared it.
    """

    queue: str
    at_s: float
    ready: int
    ready_is_exact: bool
    oldest_ready_age_s: float
    running: int
    scheduled: int
    dead: int
    due_5s: tuple[int, ...]
    enqueued_total: int
    promoted_total: int
    retried_total: int
    released_total: int
    rescued_total: int
    started_total: int
    succeeded_total: int
    failed_total: int
    busy_slot_seconds_total: float
    service_count: int
    service_sum_s: float
    service_sq_sum_s2: float
    wait_histogram: tuple[int, ...]
    slots: int
    busy_slots: int
    workers: int
    draining_workers: int
    paused: bool
    ready_by_task: Mapping[str, int]
    worker_tasks: tuple[str, ...]
    rescued_pod_gone_total: int
    refused_total: int
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Lags:
    """The rows of one read at `at_s`; those that told nothing new may have an earlier time.

    `refused` are the queues whose row cannot be true: nothing is known about them.
    """

    at_s: float = 0.0
    rows: Mapping[str, QueueLag] = field(default_factory=dict)
    refused: Mapping[str, LagUnavailable] = field(default_factory=dict)

    def of(self, queue: str) -> QueueLag:
        """Give a row with the time of the read."""
        row = self.rows[queue]
        return row if row.at_s == self.at_s else replace(row, at_s=self.at_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerState:
    """One row of `queueworker.worker_state`: a live worker as its last renewal described it.

    `drain_age_s` None: it does not drain, or nobody noted since when. `drain_remaining_s` None: its
    drain has no end of its own, so it is a person's, or a SIGTERM's.
    """

    worker_id: str
    pod: str
    slots: int
    busy: int
    held: int
    oldest_start_age_s: float | None
    drain: bool
    draining: bool
    drain_age_s: float | None
    drain_remaining_s: float | None
    started_age_s: float
    lease_remaining_s: float
    version: str
    namespace: str = ""
    pod_uid: str = ""


class LagSource(Protocol):
    """One database. Every call has a deadline and raises `LagUnavailable` when it cannot answer."""

    async def look(self, queues: Sequence[str]) -> Lags:
        """Read all `queues` in one query; a queue that does not exist yet is in neither part."""

    async def workers(self, queues: Sequence[str]) -> Sequence[WorkerState]:
        """List the live workers of `queues`; called only while a scale-in is under way."""

    async def set_drain(
        self, worker_ids: Collection[str], *, drain: bool, for_s: float | None = None
    ) -> None:
        """Tell workers to stop claiming (or, undone, to claim again); they hear it at once.

        After `for_s` a drain ends by itself, unless it is asked for again.
        """

    async def end_lease(self, pods: Collection[PodId], *, shared: bool) -> int:
        """End the leases of dead pods (see `pods.is_of`); give how many jobs went back to ready."""

    async def tend(self, queues: Collection[str]) -> None:
        """Sweep and rescue queues that have no live worker, and ask for a wake-up on enqueue."""

    async def maintain(self) -> bool:
        """Do the upkeep that workers do where they live; tell whether there is more of it."""

    async def wait(self, timeout_s: float, *, above: Wake = Wake.NONE) -> Wake:
        """Return at a wake-up that matters more than `above`, at the latest after `timeout_s`."""

    async def save_states(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        """Store controllers' states by name (one row a name), all in one query."""

    async def load_state(self, name: str) -> Mapping[str, Any] | None:
        """Read back what `save_states` stored."""

    async def record_decision(self, name: str, record: Mapping[str, Any]) -> None:
        """Append to the bounded history of decisions (200 changes and 100 others a name)."""

    async def record_minute(self, name: str, minute_s: float, record: Mapping[str, Any]) -> None:
        """Keep one minute of a DryRun, for seven days; the same minute again replaces it."""

    async def close(self) -> None:
        """Give back the connections; the loop calls it when it ends."""
