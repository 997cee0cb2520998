"""What the operator reads of a simulated queue: the row of the lag source, pooled as it is there."""

from bisect import bisect_left

from queueworker_operator.decision.model import Replicas, Sample
from queueworker_operator.lag import QueueLag
from queueworker_operator.lag.sample import NONE_UNKNOWN, pool
from queueworker_operator.simulate.model import Conditions, Workload
from queueworker_operator.simulate.world import World

EPOCH_S = 1_000_000.0
DUE_BUCKETS, DUE_BUCKET_S = 60, 5.0


class Reader:
    """What a policy sees of a world now; nothing is read that it does not look at."""

    def __init__(self, world: World, workload: Workload, conditions: Conditions) -> None:
        self._world, self._conditions = world, conditions
        self._due_s = [
            at for at, mark in zip(workload.at_s, workload.announced, strict=False) if mark
        ]

    @property
    def at_s(self) -> float:
        """Give the database's time."""
        return EPOCH_S + self._world.now_s

    @property
    def current(self) -> int:
        """Give the replicas that are asked for."""
        return len(self._world.fleet.pods)

    @property
    def replicas(self) -> Replicas:
        """Give the target as the operator reads it."""
        return self._world.fleet.replicas(self._world.now_s)

    @property
    def sample(self) -> Sample | None:
        """Read the queue; None in a gap of the telemetry."""
        now_s = self._world.now_s
        if any(gap.holds(now_s) for gap in self._conditions.telemetry_gaps):
            return None
        return pool((self._row(self.replicas),), self._conditions.promise_s, NONE_UNKNOWN)

    def _stuck(self) -> tuple[int, float]:
        """Count the jobs that nobody claims, and give since when."""
        now_s = self._world.now_s
        there = [stuck for stuck in self._conditions.stuck if stuck.at_s <= now_s]
        since_s = min((stuck.at_s for stuck in there), default=now_s)
        return sum(stuck.jobs for stuck in there), since_s

    def _row(self, replicas: Replicas) -> QueueLag:
        world, now_s = self._world, self._world.now_s
        stuck_jobs, stuck_at_s = self._stuck()
        oldest_at_s = world.waiting.oldest_at_s()
        oldest_at_s = stuck_at_s if oldest_at_s is None else min(oldest_at_s, stuck_at_s)
        promoted = bisect_left(self._due_s, now_s + 1e-9)
        return QueueLag(
            queue="simulated",
            at_s=EPOCH_S + now_s,
            ready=world.waiting.count + stuck_jobs,
            ready_is_exact=True,
            oldest_ready_age_s=now_s - oldest_at_s,
            running=world.running,
            scheduled=len(self._due_s) - promoted,
            dead=0,
            due_5s=self._due_5s(promoted),
            enqueued_total=world.arrived + stuck_jobs - promoted,
            promoted_total=promoted,
            retried_total=world.interrupted,
            released_total=0,
            rescued_total=0,
            rescued_pod_gone_total=0,
            refused_total=0,
            started_total=world.started,
            succeeded_total=world.finished,
            failed_total=0,
            busy_slot_seconds_total=world.busy_s,
            service_count=world.finished,
            service_sum_s=world.service_sum_s,
            service_sq_sum_s2=world.service_sq_sum_s2,
            wait_histogram=tuple(world.histogram),
            slots=replicas.ready * self._conditions.slots,
            busy_slots=world.running,
            workers=replicas.ready,
            draining_workers=replicas.draining,
            paused=False,
            ready_by_task={},
            worker_tasks=(),
        )

    def _due_5s(self, first: int) -> tuple[int, ...]:
        """Count the announced jobs of the next 5 minutes in buckets of 5 s."""
        due_s, now_s = self._due_s, self._world.now_s
        if first >= len(due_s) or due_s[first] >= now_s + DUE_BUCKETS * DUE_BUCKET_S:
            return ()
        edges = [
            bisect_left(due_s, now_s + DUE_BUCKET_S * (bucket + 1), first)
            for bucket in range(DUE_BUCKETS)
        ]
        return tuple(after - before for before, after in zip([first, *edges], edges, strict=False))
