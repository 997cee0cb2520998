"""The pods: created, starting, ready, draining, ended; and what they cost."""

import heapq
import math
import random
from collections.abc import Collection
from dataclasses import dataclass
from itertools import count

from queueworker_operator.decision.model import Replicas
from queueworker_operator.simulate.model import Conditions, StartFault


@dataclass(slots=True, eq=False)
class Pod:
    """One pod and its worker. `ending` ones got SIGTERM and are no replica any more."""

    number: int
    created_s: float
    ready_s: float
    busy: int = 0
    ready: bool = False
    draining: bool = False
    ending: bool = False

    @property
    def claims(self) -> bool:
        """Tell whether it takes jobs."""
        return self.ready and not self.draining and not self.ending


class Fleet:
    """All pods of the target. `due` are (instant, number, pod): it gets ready, or is killed."""

    def __init__(self, conditions: Conditions) -> None:
        self.pods: list[Pod] = []
        self.ending: set[Pod] = set()
        self.due: list[tuple[float, int, Pod]] = []
        self.most = 0
        self._conditions = conditions
        self._random = random.Random(conditions.seed)  # noqa: S311 - a simulation
        self._numbers = count()
        self._paid_s = 0.0
        self._start_ups = [0, 0.0, 0.0]
        for _ in range(conditions.pods):
            pod = Pod(number=next(self._numbers), created_s=0.0, ready_s=0.0, ready=True)
            self.pods.append(pod)
        self.most = len(self.pods)

    @property
    def next_s(self) -> float:
        """Give the next instant at which a pod gets ready or is killed."""
        return self.due[0][0] if self.due else math.inf

    def create(self, many: int, now_s: float) -> None:
        """Create pods: each is ready after a start-up time of its own."""
        for _ in range(many):
            ready_s = now_s + self._conditions.start_up.draw(self._random)
            for fault in self._conditions.start_faults:
                if fault.window.holds(now_s) and self._is_hit(fault):
                    ready_s = fault.window.until_s + ready_s - now_s
            pod = Pod(number=next(self._numbers), created_s=now_s, ready_s=ready_s)
            self.pods.append(pod)
            heapq.heappush(self.due, (ready_s, pod.number, pod))
        self.most = max(self.most, len(self.pods))

    def _is_hit(self, fault: StartFault) -> bool:
        if fault.room is not None:
            return len(self.pods) + len(self.ending) >= fault.room
        return self._random.random() < fault.share

    def become_ready(self, pod: Pod) -> None:
        """Note that a pod has started."""
        pod.ready = True
        start_up_s = pod.ready_s - pod.created_s
        self._start_ups[0] += 1
        self._start_ups[1] += start_up_s
        self._start_ups[2] += start_up_s * start_up_s

    def terminate(self, pods: Collection[Pod], now_s: float) -> None:
        """Send SIGTERM: a pod without jobs is gone at once, others are killed after the grace."""
        for pod in pods:
            pod.ending = True
            if pod.busy:
                self.ending.add(pod)
                kill_s = now_s + self._conditions.grace_s
                heapq.heappush(self.due, (kill_s, pod.number, pod))
            else:
                self.leave(pod, now_s)
        self.pods = [pod for pod in self.pods if not pod.ending]

    def leave(self, pod: Pod, now_s: float) -> None:
        """Let an ending pod go."""
        self.ending.discard(pod)
        self._paid_s += now_s - pod.created_s

    def pod_seconds(self, now_s: float) -> float:
        """Give the seconds of all pods from creation to their end, or until now."""
        alive = sum(now_s - pod.created_s for pod in (*self.pods, *self.ending))
        return self._paid_s + alive

    def replicas(self, now_s: float) -> Replicas:
        """Give the target as the operator reads it."""
        ready = [pod for pod in self.pods if pod.ready]
        ages_s = tuple(now_s - pod.created_s for pod in self.pods if not pod.ready)
        number, total_s, square_s2 = self._start_ups
        return Replicas(
            current=len(self.pods),
            ready=len(ready),
            starting_ages_s=ages_s,
            draining=sum(pod.draining for pod in ready),
            start_up_count=int(number),
            start_up_sum_s=total_s,
            start_up_sq_sum_s2=square_s2,
        )
