"""The workers behind fake pods: one starts when its pod is Ready, and drains when its pod ends.

It does what a kubelet does: SIGTERM at the deletion, SIGKILL after the grace, then the pod is gone;
a process that was killed is reported, and runs anew in the same pod.
"""

import multiprocessing
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from benchmarks.keda.api import NAMESPACE, PODS, Body
from benchmarks.keda.ground import Ground
from benchmarks.keda.worker import Seat, serve, shared

LOOKS_EACH_S = 1.0  # a kubelet lists its containers so often
END_WITHIN_S = 10.0
PRELOADED = ["benchmarks.keda.worker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """A pod that was told to end; `idle` and `busy` are the others of its queue at that moment."""

    at_s: float
    queue: str
    pod: str
    is_busy: bool
    idle: tuple[str, ...]
    busy: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class FakePod:
    """One pod as the API server tells of it, and its worker."""

    seat: Seat
    statuses: list[Body] = field(default_factory=list)
    process: ForkServerProcess | None = None
    started_s: float = 0.0
    is_ending: bool = False


class Pool:
    """Follows the pods; `removals` are those that were told to end, `killed` those that had to be."""

    def __init__(self, place: Ground) -> None:
        self.pods: dict[str, FakePod] = {}
        self.removals: list[Removal] = []
        self.killed: list[str] = []
        self.created_s: dict[str, tuple[str, float]] = {}
        self.gone_s: dict[str, float] = {}
        self._place, self._api = place, place.api
        self._running = shared(place.folder)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)
        self._lock = threading.RLock()
        self._endings: list[threading.Thread] = []
        self._is_over = False

    def follow(self) -> None:
        """Watch the pods until the API server ends."""
        for kind, body in self._api.watch(PODS):
            with self._lock:
                if self._is_over:
                    return
                self._see(kind, body)

    def is_busy(self, pod: FakePod) -> bool:
        """Tell whether its worker runs a job now."""
        return self._running[pod.seat.number] > 0

    def serving(self, queue: str) -> list[FakePod]:
        """Give the pods of a queue that work and were not told to end."""
        with self._lock:
            pods = list(self.pods.values())
        return [
            pod for pod in pods if pod.seat.queue == queue and pod.process and not pod.is_ending
        ]

    def crash(self, pod: FakePod) -> float:
        """Kill a worker (SIGKILL); give the time. The pod tells within a second, and restarts it."""
        process = pod.process
        if process is None:
            raise AssertionError(pod.seat.pod)
        process.kill()
        process.join(END_WITHIN_S)
        at_s = time.time()
        self._running[pod.seat.number] = 0
        threading.Thread(target=self._restart, args=(pod,), daemon=True).start()
        return at_s

    def stop(self) -> None:
        """Kill all workers."""
        with self._lock:
            self._is_over = True
            pods = list(self.pods.values())
        for pod in pods:
            if pod.process is not None:
                pod.process.kill()
        for pod in pods:
            if pod.process is not None:
                pod.process.join(END_WITHIN_S)
        for ending in self._endings:
            ending.join(END_WITHIN_S)

    def _see(self, kind: str, body: Body) -> None:
        name = body["metadata"]["name"]
        if kind == "DELETED":
            self.gone_s[name] = time.time()
            pod = self.pods.pop(name, None)
            if pod is not None and pod.process is not None:
                pod.process.kill()
            return
        pod = self.pods.get(name) or self._admit(name, body)
        pod.statuses = body["status"].get("containerStatuses", [])
        if body["metadata"].get("deletionTimestamp") and not pod.is_ending:
            self._end(pod, body["metadata"].get("deletionGracePeriodSeconds", 0))
        elif pod.process is None and not pod.is_ending and _is_ready(body):
            self._start(pod)

    def _admit(self, name: str, body: Body) -> FakePod:
        spec = body["spec"]
        [slots] = [
            int(entry["value"])
            for entry in spec["containers"][0]["env"]
            if entry["name"] == "QUEUEWORKER_CONCURRENCY"
        ]
        seat = Seat(
            number=len(self.created_s),
            pod=name,
            namespace=NAMESPACE,
            queue=body["metadata"]["labels"]["app"],
            slots=slots,
            grace_s=spec["terminationGracePeriodSeconds"],
            dsn=self._place.url,
            folder=Path(self._place.folder),
        )
        self.created_s[name] = (seat.queue, time.time())
        self.pods[name] = FakePod(seat=seat)
        return self.pods[name]

    def _start(self, pod: FakePod) -> None:
        pod.process = self._context.Process(target=serve, args=(pod.seat,), daemon=True)
        pod.process.start()
        pod.started_s = time.time()

    def _end(self, pod: FakePod, grace_s: float) -> None:
        pod.is_ending = True
        if pod.process is not None:
            self.removals.append(self._removal(pod))
        ending = threading.Thread(target=self._see_off, args=(pod, grace_s), daemon=True)
        self._endings.append(ending)
        ending.start()

    def _removal(self, pod: FakePod) -> Removal:
        queue = pod.seat.queue
        others = {other.seat.pod: self.is_busy(other) for other in self.serving(queue)}
        return Removal(
            at_s=time.time(),
            queue=queue,
            pod=pod.seat.pod,
            is_busy=self.is_busy(pod),
            idle=tuple(name for name, is_busy in others.items() if not is_busy),
            busy=tuple(name for name, is_busy in others.items() if is_busy),
        )

    def _see_off(self, pod: FakePod, grace_s: float) -> None:
        process = pod.process
        if process is not None:
            process.terminate()
            process.join(grace_s)
            if process.exitcode is None:
                self.killed.append(pod.seat.pod)
                process.kill()
                process.join(END_WITHIN_S)
        if not self._is_over:
            self._api.delete(f"{PODS}/{pod.seat.pod}", {"gracePeriodSeconds": 0})

    def _restart(self, pod: FakePod) -> None:
        end = {"exitCode": 137, "reason": "Error", "finishedAt": f"{datetime.now(UTC):%FT%TZ}"}
        time.sleep(random.uniform(0, LOOKS_EACH_S))  # noqa: S311 a phase
        with self._lock:
            if pod.is_ending or self._is_over:
                return
            self._start(pod)
            statuses = [
                {
                    **status,
                    "restartCount": status["restartCount"] + 1,
                    "lastState": {"terminated": end},
                }
                for status in pod.statuses
            ]
        path = f"{PODS}/{pod.seat.pod}/status"
        self._api.patch(path, {"status": {"containerStatuses": statuses}})


@contextmanager
def running_pool(place: Ground) -> Iterator[Pool]:
    """Run the workers of all pods until the block ends."""
    pool = Pool(place)
    threading.Thread(target=pool.follow, daemon=True).start()
    try:
        yield pool
    finally:
        pool.stop()


def _is_ready(body: Body) -> bool:
    conditions = body["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
