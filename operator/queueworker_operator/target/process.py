"""Local processes in place of pods: what a Deployment and its ReplicaSet do, on one machine."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path

from queueworker_operator.decision.model import PodId, Replicas
from queueworker_operator.target.pod import Command, Pod

logger = logging.getLogger(__name__)

RESTART_MIN_S = 1.0
RESTART_MAX_S = 60.0
HEALTHY_AFTER_S = 60.0  # a pod that lived this long is replaced without delay
LONGEST_SHOWN = 200
SAME_CRASH_S = 60.0  # how long pods that crash alike are counted, not told one by one


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """When pods that crash alike were told last, and how many did so since."""

    told_s: float
    more: int = 0


class ProcessTarget:
    """A Deployment whose pods are processes of this machine.

    A pod that exits by itself is replaced under a new name, after a delay that doubles with each
    crash in a row: a new name, so that ending the dead pod's lease cannot hit its successor.

    Args:
        namespace: The Deployment's namespace.
        name: Its name, the first part of its pods' names.
        command: Gives what the pod of a name runs.
        grace_s: Seconds from SIGTERM to SIGKILL.
        logs: The folder where each pod writes its output.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        namespace: str,
        name: str,
        command: Callable[[str], Command],
        *,
        grace_s: float,
        logs: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.namespace = namespace
        self.name = name
        self.on_change: Callable[[], None] = lambda: None
        self.peak = 0
        self._command = command
        self._grace_s = grace_s
        self._logs = logs
        self._clock = clock
        self._desired = 0
        self._pods: dict[str, Pod] = {}
        self._gone: list[str] = []
        self._crashes: dict[str, Crash] = {}
        self._preferred: frozenset[str] = frozenset()
        self._tasks: set[asyncio.Task[None]] = set()
        self._start_ups: list[float] = []
        self._spent_s = 0.0

    def read(self) -> Replicas | None:
        """Give the pods as they are now."""
        live = self._live()
        now_s = self._clock()
        return Replicas(
            current=self._desired,
            ready=sum(pod.ready_s is not None for pod in live),
            starting_ages_s=tuple(now_s - pod.created_s for pod in live if pod.ready_s is None),
            start_up_count=len(self._start_ups),
            start_up_sum_s=sum(self._start_ups),
            start_up_sq_sum_s2=sum(seconds**2 for seconds in self._start_ups),
        )

    def stamp(self) -> object:
        """Give a new value each time: processes are few."""
        return object()

    def pods(self) -> Collection[PodId]:
        """Name the pods that were not told to end."""
        return [self._id(pod.name) for pod in self._live()]

    def all_pods(self) -> Collection[PodId]:
        """Name the pods that have not exited."""
        return [self._id(name) for name in self._pods]

    def take_gone(self) -> tuple[PodId, ...]:
        """Name the pods that exited since the last call."""
        gone, self._gone = tuple(map(self._id, self._gone)), []
        return gone

    def grace_s(self) -> float:
        """Give the seconds between SIGTERM and SIGKILL of one pod."""
        return self._grace_s

    async def look(self) -> None:
        """Do nothing: the processes are known."""

    async def scale(self, desired: int) -> None:
        """Start pods, or end the ones that a ReplicaSet would end first."""
        self._desired = desired
        live = self._live()
        for _ in range(desired - len(live)):
            self._start(crashes=0)
        self.peak = max(self.peak, desired)
        for pod in sorted(live, key=self._end_order)[: max(0, len(live) - desired)]:
            pod.ending = True
            self._spawn(pod.end(self._grace_s))

    async def prefer(
        self, victims: Collection[str], leaving: Collection[str] = ()
    ) -> Collection[str]:
        """Remember which pods the next smaller `scale` should end first."""
        self._preferred = frozenset((*victims, *leaving))
        return victims

    def processes(self) -> int:
        """Count the pods that exist, those told to end included."""
        return len(self._pods)

    def spent_s(self) -> float:
        """Give the worker-seconds so far: each pod from its creation to its exit."""
        now_s = self._clock()
        return self._spent_s + sum(now_s - pod.created_s for pod in self._pods.values())

    async def close(self) -> None:
        """End all pods as `scale` to 0 would, and return when the last one is gone."""
        await self.scale(0)
        while self._tasks:
            await asyncio.wait(self._tasks)

    def kill(self) -> None:
        """End all pods at once; nothing is drained."""
        self._desired = 0
        for pod in self._pods.values():
            pod.kill()

    def _id(self, name: str) -> PodId:
        return PodId(namespace=self.namespace, name=name)

    def _live(self) -> list[Pod]:
        return [pod for pod in self._pods.values() if not pod.ending]

    def _end_order(self, pod: Pod) -> tuple[bool, bool, float]:
        """Not ready goes first, then preferred, then the newest: a ReplicaSet's order."""
        return pod.ready_s is not None, pod.name not in self._preferred, -pod.created_s

    def _start(self, *, crashes: int) -> None:
        name = f"{self.name}-{secrets.token_hex(3)}"
        pod = Pod(
            name,
            self._command(name),
            log=self._logs / f"{name}.log",
            clock=self._clock,
            crashes=crashes,
            on_ready=self._note_ready,
        )
        self._pods[name] = pod
        self._spawn(self._run(pod))

    async def _run(self, pod: Pod) -> None:
        delay_s = RESTART_MIN_S * 2 ** (pod.crashes - 1) if pod.crashes else 0.0
        code = await pod.run(min(delay_s, RESTART_MAX_S))
        del self._pods[pod.name]
        self._gone.append(pod.name)
        self._spent_s += self._clock() - pod.created_s
        if not pod.ending:
            self._note_crash(pod, code)
            if len(self._live()) < self._desired:
                self._start(crashes=0 if pod.ran_s > HEALTHY_AFTER_S else pod.crashes + 1)
        self.on_change()

    def _note_ready(self, pod: Pod) -> None:
        self._start_ups.append(self._clock() - pod.created_s)
        self.on_change()

    def _note_crash(self, pod: Pod, code: int | None) -> None:
        how = "did not start" if code is None else f"exited with {code}"
        cause = f"{how}: {pod.last_line[:LONGEST_SHOWN]}"
        now_s = self._clock()
        before = self._crashes.get(cause)
        if before is not None and now_s - before.told_s < SAME_CRASH_S:
            self._crashes[cause] = replace(before, more=before.more + 1)
            return
        self._crashes[cause] = Crash(told_s=now_s)
        more = f" (as {before.more} more did since)" if before is not None and before.more else ""
        logger.warning("pod %s %s%s; its output: %s", pod.name, cause, more, pod.log)

    def _spawn(self, step: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(step)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
