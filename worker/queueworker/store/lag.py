"""One reading of `queue_lag` and `worker_state`; columns as published."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class LagRow:
    """One queue. Counters are cumulative; `ready` is exact up to 2,000."""

    queue: str
    sampled_at: datetime
    ready: int
    ready_is_exact: bool
    oldest_ready_age_s: float
    running: int
    scheduled: int
    due_5s: list[int]
    due_60s: int
    due_300s: int
    dead: int
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
    wait_histogram: list[int]
    slots: int
    busy_slots: int
    workers: int
    draining_workers: int
    paused: bool
    ready_by_task: Mapping[str, int]
    worker_tasks: list[str]
    rescued_pod_gone_total: int
    refused_total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStateRow:
    """One live worker as its last renewal described it."""

    worker_id: UUID
    pod: str
    namespace: str
    node: str
    version: str
    queues: list[str]
    tasks: list[str]
    slots: int
    busy: int
    held: int
    oldest_start_age_s: float | None
    drain: bool
    draining: bool
    lease_remaining_s: float
    started_age_s: float
    pod_uid: str
