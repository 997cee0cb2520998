"""The event simulation: jobs arrive, start on a free slot, run, end; pods come and go.

A bottleneck slows all running jobs alike, so their ends are kept in a virtual time that runs at
that speed (processor sharing: Kleinrock, Queueing Systems II, 1976, section 4.4).
"""

import heapq
import math
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Collection

from queueworker_operator.lag.sample import edge_s
from queueworker_operator.simulate.fleet import Fleet, Pod
from queueworker_operator.simulate.model import Conditions, Workload
from queueworker_operator.simulate.waiting import Waiting

BUCKETS = 48
EDGES_S = tuple(edge_s(index) for index in range(BUCKETS - 1))


class World:
    """Everything at one instant, and the counters that the queue would report."""

    def __init__(self, workload: Workload, conditions: Conditions) -> None:
        self.now_s = 0.0
        self.fleet = Fleet(conditions)
        self.waiting = Waiting(workload)
        self.running = self.arrived = self.started = self.finished = self.interrupted = 0
        self.waits_s: array[float] = array("d")
        self.histogram = [0] * BUCKETS
        self.service_sum_s = self.service_sq_sum_s2 = 0.0
        self._busy_s = 0.0
        self._at_s, self._size_s = workload.at_s, workload.size_s
        self._restarted: set[int] = set()
        self._slots, self._curve = conditions.slots, conditions.curve
        self._virtual_s, self._speed = 0.0, 1.0
        self._turn_s = self._curve.next_turn_s(0.0) if self._curve else math.inf
        self._ends: list[tuple[float, int, float, Pod]] = []
        self._free: deque[Pod] = deque()
        self.open_slots()

    @property
    def busy_s(self) -> float:
        """Give the slot-seconds that jobs have held until now."""
        return self._busy_s + self.running * self.now_s

    def advance(self, until_s: float) -> None:
        """Let everything happen up to `until_s`, in order."""
        at_s, jobs, fleet = self._at_s, len(self._at_s), self.fleet
        while True:
            arrival_s = at_s[self.arrived] if self.arrived < jobs else math.inf
            end_s = self._next_end_s()
            then_s = min(arrival_s, end_s, fleet.next_s, self._turn_s)
            if then_s > until_s:
                break
            self._move(then_s)
            if then_s == end_s:
                self._finish()
            elif then_s == arrival_s:
                self._arrive()
            elif then_s == fleet.next_s:
                self._start_or_kill(heapq.heappop(fleet.due)[2])
            else:
                self._turn()
        self._move(until_s)

    def open_slots(self) -> None:
        """Find the free slots anew, after pods changed, and start waiting jobs on them."""
        self._free = deque(
            pod for pod in self.fleet.pods if pod.claims for _ in range(self._slots - pod.busy)
        )
        self._fill()

    def terminate(self, pods: Collection[Pod]) -> None:
        """Send pods SIGTERM."""
        self.fleet.terminate(pods, self.now_s)
        self.open_slots()

    def is_new(self, job: int) -> bool:
        """Tell whether a job that waits was never started."""
        return job not in self._restarted

    def _next_end_s(self) -> float:
        if not self._ends:
            return math.inf
        if self._curve is None:
            return self._ends[0][0]
        return self.now_s + max(self._ends[0][0] - self._virtual_s, 0.0) / self._speed

    def _move(self, then_s: float) -> None:
        self._virtual_s += (then_s - self.now_s) * self._speed
        self.now_s = then_s
        if self._curve is None:
            self._virtual_s = then_s

    def _turn(self) -> None:
        if self._curve is not None:
            self._turn_s = self._curve.next_turn_s(self.now_s)
            self._speed = self._curve.speed(self.running, self.now_s)

    def _run(self, change: int) -> None:
        """Count a job that starts or ends to run."""
        self.running += change
        self._busy_s -= change * self.now_s
        if self._curve is not None:
            self._speed = self._curve.speed(self.running, self.now_s)

    def _arrive(self) -> None:
        job = self.arrived
        self.arrived += 1
        if self._free:
            self._start(job, self._free.popleft())
        else:
            self.waiting.push(job)

    def _fill(self) -> None:
        """Start waiting jobs on free slots."""
        while self.waiting.count and self._free:
            self._start(self.waiting.pop(), self._free.popleft())

    def _start(self, job: int, pod: Pod) -> None:
        now_s = self.now_s
        self.started += 1
        wait_s = now_s - self._at_s[job]
        self.histogram[bisect_left(EDGES_S, wait_s)] += 1
        if job not in self._restarted:
            self.waits_s.append(wait_s)
        pod.busy += 1
        self._run(1)
        heapq.heappush(self._ends, (self._virtual_s + self._size_s[job], job, now_s, pod))

    def _finish(self) -> None:
        _, _, start_s, pod = heapq.heappop(self._ends)
        service_s = self.now_s - start_s
        self.finished += 1
        self.service_sum_s += service_s
        self.service_sq_sum_s2 += service_s * service_s
        pod.busy -= 1
        self._run(-1)
        if pod.claims:
            if self.waiting.count:
                self._start(self.waiting.pop(), pod)
            else:
                self._free.append(pod)
        elif pod.ending and not pod.busy:
            self.fleet.leave(pod, self.now_s)

    def _start_or_kill(self, pod: Pod) -> None:
        if pod.ending:
            self._kill(pod)
        elif not pod.ready:
            self.fleet.become_ready(pod)
            self._free.extend([pod] * self._slots)
            self._fill()

    def _kill(self, pod: Pod) -> None:
        """End a pod whose grace is over; its jobs wait again."""
        if pod not in self.fleet.ending:
            return
        lost = sorted((entry[1] for entry in self._ends if entry[3] is pod), reverse=True)
        self._ends = [entry for entry in self._ends if entry[3] is not pod]
        heapq.heapify(self._ends)
        self.interrupted += len(lost)
        for job in lost:
            self._restarted.add(job)
            self._run(-1)
            self.waiting.put_back(job)
        pod.busy = 0
        self.fleet.leave(pod, self.now_s)
        self.open_slots()
