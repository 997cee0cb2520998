"""Rows of `queueworker.queue_lag` and `worker_state`, checked: an impossible value is refused."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from queueworker_operator.errors import LagUnavailable
from queueworker_operator.lag import QueueLag, WorkerState

# A job's run_at is its transaction's start, the sample's clock the reader's: they may cross a bit.
AGE_TOLERANCE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A row whose numbers are checked as they are read; `of` names it in a refusal."""

    of: str
    row: Mapping[str, Any]

    def count(self, name: str) -> int:
        """Give a whole number."""
        return count(self.of, name, self.row[name])

    def counts(self, name: str) -> tuple[int, ...]:
        """Give a list of whole numbers; NULL is the empty list."""
        values = self.row[name] or ()
        # A thousand rows a second have a hundred numbers each: the good case is told at once.
        if set(map(type, values)) <= {int} and min(values, default=0) >= 0:
            return tuple(values)
        return tuple(count(self.of, name, value) for value in values)

    def counts_by_name(self, name: str) -> Mapping[str, int]:
        """Give an object of whole numbers; NULL is the empty one."""
        items = (self.row[name] or {}).items()
        return {str(key): count(self.of, name, value) for key, value in items}

    def amount(self, name: str) -> float:
        """Give a finite number."""
        return amount(self.of, name, self.row[name])


def queue_lag(row: Mapping[str, Any]) -> QueueLag:
    """Check one row of `queue_lag`.

    Raises:
        LagUnavailable: a value is NULL, NaN, infinite or negative; the message names it.
    """
    read = Checked(of=str(row["queue"]), row=row)
    return QueueLag(
        queue=read.of,
        at_s=read.amount("at_s"),
        ready=read.count("ready"),
        ready_is_exact=bool(row["ready_is_exact"]),
        oldest_ready_age_s=oldest_age(read),
        running=read.count("running"),
        scheduled=read.count("scheduled"),
        dead=read.count("dead"),
        due_5s=read.counts("due_5s"),
        enqueued_total=read.count("enqueued_total"),
        promoted_total=read.count("promoted_total"),
        retried_total=read.count("retried_total"),
        released_total=read.count("released_total"),
        rescued_total=read.count("rescued_total"),
        started_total=read.count("started_total"),
        succeeded_total=read.count("succeeded_total"),
        failed_total=read.count("failed_total"),
        busy_slot_seconds_total=read.amount("busy_slot_seconds_total"),
        service_count=read.count("service_count"),
        service_sum_s=read.amount("service_sum_s"),
        service_sq_sum_s2=read.amount("service_sq_sum_s2"),
        wait_histogram=read.counts("wait_histogram"),
        slots=read.count("slots"),
        busy_slots=read.count("busy_slots"),
        workers=read.count("workers"),
        draining_workers=read.count("draining_workers"),
        paused=bool(row["paused"]),
        ready_by_task=read.counts_by_name("ready_by_task"),
        worker_tasks=tuple(str(task) for task in row["worker_tasks"] or ()),
        rescued_pod_gone_total=rescued_from_gone_pods(read),
        refused_total=read.count("refused_total"),
    )


def worker_state(row: Mapping[str, Any]) -> WorkerState:
    """Check one row of `worker_state`."""
    read = Checked(of=str(row["pod"]), row=row)
    return WorkerState(
        worker_id=str(row["worker_id"]),
        pod=read.of,
        slots=read.count("slots"),
        busy=read.count("busy"),
        held=read.count("held"),
        oldest_start_age_s=span(row["oldest_start_age_s"]),
        drain=bool(row["drain"]),
        draining=bool(row["draining"]),
        drain_age_s=span(row["drain_age_s"]),
        drain_remaining_s=span(row["drain_remaining_s"]),
        started_age_s=max(0.0, float(row["started_age_s"])),
        lease_remaining_s=float(row["lease_remaining_s"]),
        version=str(row["version"]),
        namespace=str(row["namespace"]),
        pod_uid=str(row["pod_uid"]),
    )


def span(value: Any) -> float | None:
    """Give seconds of a worker that may have none; the clocks of two writers may cross."""
    return None if value is None else max(0.0, float(value))


def oldest_age(read: Checked) -> float:
    """Give the age of the oldest ready job; nothing ready has no age."""
    name = "oldest_ready_age_s"
    value = read.row[name]
    if value is None and read.row["ready"] == 0:
        return 0.0
    if isinstance(value, float) and -AGE_TOLERANCE_S <= value < 0:
        return 0.0
    return read.amount(name)


def rescued_from_gone_pods(read: Checked) -> int:
    """Give the share of the rescued jobs that were taken from pods that are gone."""
    name = "rescued_pod_gone_total"
    value = read.count(name)
    if value > read.count("rescued_total"):
        raise refused(read.of, name, value)
    return value


def count(of: str, name: str, value: object) -> int:
    """Give a whole number that is not negative."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise refused(of, name, value)
    return value


def amount(of: str, name: str, value: object) -> float:
    """Give a finite number that is not negative."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise refused(of, name, value)
    if not math.isfinite(value) or value < 0:
        raise refused(of, name, value)
    return float(value)


def refused(of: str, name: str, value: object) -> LagUnavailable:
    """Say which value cannot be: numbers and NULL are shown, anything else by its type."""
    shown = value if isinstance(value, int | float | None) else type(value).__name__
    return LagUnavailable(f"{of}: {name} is {shown}: replicas are held; check queueworker stats")
