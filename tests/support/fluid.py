"""A small event simulation of jobs, pods and slots that the controller's decisions run against.

Seconds are simulated; the seed fixes every outcome. Pods start, claim first come first served,
and drain before they go, as the operator makes them.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count

from queueworker_operator.decision.decide import decide, observe
from queueworker_operator.decision.model import Decision, Policy, Replicas, Sample
from queueworker_operator.decision.scale_in import PodLoad, choose
from queueworker_operator.decision.state import State

EPOCH_S = 1_000_000.0
BUCKETS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A job that becomes ready at `at_s`; `announced` ones are scheduled from the beginning."""

    at_s: float
    service_s: float
    announced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What happens. `start_up_s` draws a pod's start-up time (infinite: it never starts).

    `speed` slows all running jobs alike, given the second and how many run: a shared bottleneck.
    """

    policy: Policy
    arrivals: tuple[Arrival, ...]
    lasts_s: float
    slots: int = 10
    pods: int = 0
    start_up_s: Callable[[random.Random], float] = lambda rng: rng.uniform(10.0, 16.0)
    seed: int = 1
    speed: Callable[[float, int], float] = lambda _at_s, _running: 1.0


@dataclass(slots=True)
class Pod:
    name: str
    created_s: float
    ready_s: float
    busy: int = 0
    draining: bool = False
    counted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of what is asked for."""

    at_s: float
    decision: Decision


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    waits_s: list[float] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    pods: list[int] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    records: list[tuple[State, Sample, Replicas]] = field(default_factory=list)
    promise_s: float = 30.0

    @property
    def late_percent(self) -> float:
        late = sum(wait_s > self.promise_s for wait_s in self.waits_s)
        return 100 * late / max(len(self.waits_s), 1)

    @property
    def reversals(self) -> int:
        """Count scale-ins that a scale-out took back within two minutes: flaps."""
        return sum(
            (earlier.decision.desired - earlier.decision.current)
            * (later.decision.desired - later.decision.current)
            < 0
            and earlier.decision.desired < earlier.decision.current
            and later.at_s - earlier.at_s < 120
            for earlier, later in zip(self.changes, self.changes[1:], strict=False)
        )


class World:
    """Jobs, pods and the counters that the queue would report."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.random = random.Random(scenario.seed)
        self.names = count()
        self.now_s = 0.0
        self.worked_s = 0.0  # how far each running job has come since the beginning
        self.future = deque(sorted(scenario.arrivals, key=lambda job: job.at_s))
        self.queue: deque[Arrival] = deque()
        self.ends: list[tuple[float, float, int, Pod, Arrival]] = []
        self.pods = [
            Pod(f"pod-{next(self.names)}", -60.0, 0.0, counted=True) for _ in range(scenario.pods)
        ]
        self.started = self.late = self.enqueued = self.announced = self.finished = 0
        self.busy_s = self.service_sum_s = self.service_sq_sum_s2 = 0.0
        self.start_ups: list[float] = []
        self.outcome = Outcome(promise_s=scenario.policy.start_within_s)

    def advance(self, until_s: float) -> None:
        """Let everything happen up to `until_s`, in order."""
        while True:
            running = sum(pod.busy for pod in self.pods)
            speed = self.scenario.speed(self.now_s, running)
            instants = [
                self.future[0].at_s if self.future else until_s,
                self.now_s + (self.ends[0][0] - self.worked_s) / speed if self.ends else until_s,
                *(pod.ready_s for pod in self.pods if pod.ready_s > self.now_s),
            ]
            then_s = min(until_s, *instants)
            self.busy_s += (then_s - self.now_s) * running
            self.worked_s += (then_s - self.now_s) * speed
            self.now_s = then_s
            self._arrive()
            self._finish()
            self._claim()
            if then_s >= until_s:
                return

    def _arrive(self) -> None:
        while self.future and self.future[0].at_s <= self.now_s:
            job = self.future.popleft()
            self.queue.append(job)
            self.enqueued += 1
            self.announced += job.announced

    def _finish(self) -> None:
        while self.ends and self.ends[0][0] <= self.worked_s + 1e-9:
            _, started_s, _, pod, _ = heapq.heappop(self.ends)
            service_s = self.now_s - started_s
            pod.busy -= 1
            self.finished += 1
            self.service_sum_s += service_s
            self.service_sq_sum_s2 += service_s**2

    def _claim(self) -> None:
        for pod in self.pods:
            if pod.ready_s <= self.now_s and not pod.counted:
                pod.counted = True
                self.start_ups.append(pod.ready_s - pod.created_s)
            while (
                self.queue and pod.counted and not pod.draining and pod.busy < self.scenario.slots
            ):
                self._start(pod, self.queue.popleft())

    def _start(self, pod: Pod, job: Arrival) -> None:
        wait_s = self.now_s - job.at_s
        pod.busy += 1
        self.started += 1
        self.late += wait_s > self.scenario.policy.start_within_s
        self.outcome.waits_s.append(wait_s)
        ends_s = self.worked_s + job.service_s
        heapq.heappush(self.ends, (ends_s, self.now_s, self.started, pod, job))

    def sample(self) -> Sample:
        return Sample(
            at_s=EPOCH_S + self.now_s,
            ready=len(self.queue),
            oldest_age_s=self.now_s - self.queue[0].at_s if self.queue else 0.0,
            running=sum(pod.busy for pod in self.pods),
            enqueued_total=self.enqueued,
            announced_total=self.announced,
            finished_total=self.finished,
            busy_slot_seconds_total=self.busy_s,
            service_count=self.finished,
            service_sum_s=self.service_sum_s,
            service_sq_sum_s2=self.service_sq_sum_s2,
            started_total=self.started,
            late_total=self.late,
            due_5s=self._due_5s(),
            slots_per_pod=self.scenario.slots if any(pod.counted for pod in self.pods) else None,
            workers=sum(pod.counted for pod in self.pods),
        )

    def _due_5s(self) -> tuple[int, ...]:
        due = [0] * BUCKETS
        for job in self.future:
            bucket = int((job.at_s - self.now_s) / 5)
            if bucket >= BUCKETS:
                break
            due[bucket] += job.announced
        return tuple(due)

    def replicas(self) -> Replicas:
        waiting = [self.now_s - pod.created_s for pod in self.pods if not pod.counted]
        return Replicas(
            current=len(self.pods),
            ready=sum(pod.counted for pod in self.pods),
            starting_ages_s=tuple(waiting),
            draining=sum(pod.draining for pod in self.pods),
            start_up_count=len(self.start_ups),
            start_up_sum_s=sum(self.start_ups),
            start_up_sq_sum_s2=sum(start_up_s**2 for start_up_s in self.start_ups),
        )

    def follow(self, desired: int) -> None:
        """Create pods at once; drain before removing, and undo drains that are not needed."""
        while len(self.pods) < desired:
            ready_s = self.now_s + self.scenario.start_up_s(self.random)
            self.pods.append(Pod(f"pod-{next(self.names)}", self.now_s, ready_s))
        loads = [
            PodLoad(
                pod=pod.name,
                worker_id=pod.name,
                busy=pod.busy,
                held=0,
                draining=pod.draining,
                age_s=self.now_s - pod.created_s,
            )
            for pod in self.pods
            if pod.counted
        ]
        surplus = len(self.pods) - desired
        going = {victim.pod for victim in choose(loads, [pod.name for pod in self.pods], surplus)}
        for pod in self.pods:
            pod.draining = pod.name in going
        self.pods = [pod for pod in self.pods if not pod.draining or pod.busy]


def simulate(scenario: Scenario, *, keep_records: bool = False) -> Outcome:
    """Run the controller against the scenario: a decision each second, an observation each 5 s."""
    world, state = World(scenario), State()
    asked = scenario.pods
    for second in range(int(scenario.lasts_s)):
        world.advance(float(second))
        sample, replicas = world.sample(), world.replicas()
        if second % 5 == 0:
            state = observe(scenario.policy, state, sample, replicas)
        if keep_records:
            world.outcome.records.append((state, sample, replicas))
        decision, state = decide(scenario.policy, state, sample, replicas)
        if decision.desired != asked:
            world.outcome.changes.append(Change(at_s=float(second), decision=decision))
        asked = decision.desired
        world.follow(decision.desired)
        world.outcome.decisions.append(decision)
        world.outcome.pods.append(len(world.pods))
    return world.outcome


def stream(
    rng: random.Random,
    *,
    rate_per_s: float,
    from_s: float,
    to_s: float,
    service_s: Callable[[random.Random], float],
) -> Iterable[Arrival]:
    """Give Poisson arrivals."""
    at_s = from_s
    while (at_s := at_s + rng.expovariate(rate_per_s)) < to_s:
        yield Arrival(at_s=at_s, service_s=service_s(rng))
