"""A target whose pods start, register worker rows in a real Postgres, drain and end.

It ends pods in the order of a ReplicaSet: not Ready first, then the preferred, then the newest.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID, uuid4

import psycopg

from queueworker.store import Store, WorkerLoad, WorkerRow
from queueworker_operator.decision.model import PodId, Replicas
from queueworker_operator.errors import TargetConflict, TargetUnavailable

TTL_S = 15.0
NAMESPACE = "default"
RENEW_EVERY_S = 0.05

Answer = TypeVar("Answer")


@dataclass(slots=True)
class Pod:
    """One pod; set `busy` to let its worker run jobs."""

    name: str
    created_s: float
    worker_id: UUID = field(default_factory=uuid4)
    ready_s: float | None = None
    busy: int = 0
    draining: bool = False
    evicted: bool = False
    ending: bool = False
    renewals: int = 0


class PodTarget:
    """The state machine. `writes` are the sizes asked for, `ended_busy` the pods killed at work.

    Pods that are `untold` are there and known to nobody before `look`. It fails when `is_cut_off`, as
    does `prefer`, which marks `marks_at_once` at most.
    """

    def __init__(
        self,
        dsn: str,
        queues: tuple[str, ...],
        *,
        slots: int = 4,
        start_up_s: float = 0.0,
        namespace: str = NAMESPACE,
    ) -> None:
        self.pods_by_name: dict[str, Pod] = {}
        self.writes: list[tuple[float, int]] = []
        self.ended: list[str] = []
        self.ended_busy: list[str] = []
        self.exists = True
        self.conflicts = 0
        self.quota: int | None = None
        self.untold: set[str] = set()
        self.is_cut_off = False
        self.marks_at_once: int | None = None
        self._dsn = dsn
        self._queues = queues
        self._slots = slots
        self._namespace = namespace
        self._start_up_s = start_up_s
        self._desired = 0
        self._gone: list[str] = []
        self._preferred: frozenset[str] = frozenset()
        self._start_ups: list[float] = []
        self._names = (f"worker-{number}" for number in itertools.count())
        self._tasks = asyncio.TaskGroup()
        self._changed = asyncio.Condition()
        self._store_lock = asyncio.Lock()
        self._store: Store | None = None

    @asynccontextmanager
    async def running(self, replicas: int = 0) -> AsyncIterator["PodTarget"]:
        """Run the pods' workers until the block ends, beginning with `replicas` Ready pods."""
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(
                await psycopg.AsyncConnection.connect(self._dsn, autocommit=True)
            )
            self._store = Store(connection)
            async with asyncio.TaskGroup() as self._tasks:
                self._resize(replicas)
                await self.until(lambda: self.ready() == replicas)
                try:
                    yield self
                finally:
                    for pod in self.pods_by_name.values():
                        pod.ending = True

    def read(self) -> Replicas | None:
        if not self.exists:
            return None
        now_s, live = time.monotonic(), self._told()
        return Replicas(
            current=self._desired,
            ready=sum(pod.ready_s is not None for pod in live),
            starting_ages_s=tuple(now_s - pod.created_s for pod in live if pod.ready_s is None),
            start_up_count=len(self._start_ups),
            start_up_sum_s=sum(self._start_ups),
            start_up_sq_sum_s2=sum(seconds**2 for seconds in self._start_ups),
        )

    def ready(self) -> int:
        return sum(pod.ready_s is not None for pod in self._live())

    def stamp(self) -> object:
        return object()

    def pods(self) -> Collection[PodId]:
        return [pod_id(pod.name, self._namespace) for pod in self._told()]

    def all_pods(self) -> Collection[PodId]:
        return [pod_id(name, self._namespace) for name in self.pods_by_name.keys() - self.untold]

    def take_gone(self) -> tuple[PodId, ...]:
        gone, self._gone = tuple(self._gone), []
        return tuple(pod_id(name, self._namespace) for name in gone)

    def grace_s(self) -> float:
        return 30.0

    async def look(self) -> None:
        if self.is_cut_off:
            raise TargetUnavailable("the Kubernetes API does not answer")
        self.untold.clear()

    async def scale(self, desired: int) -> None:
        if self.conflicts:
            self.conflicts -= 1
            raise TargetConflict("somebody else changed it")
        self.writes.append((time.monotonic(), desired))
        self._resize(desired)
        await self._notify()

    async def prefer(
        self, victims: Collection[str], leaving: Collection[str] = ()
    ) -> Collection[str]:
        if self.is_cut_off:
            raise TargetUnavailable("the Kubernetes API does not answer")
        marked = sorted(victims)[: self.marks_at_once]
        self._preferred = frozenset((*marked, *leaving))
        return marked

    async def until(self, holds: Callable[[], bool], timeout_s: float = 15.0) -> None:
        """Wait for the pods to be in a state; every change is looked at."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(holds)

    async def until_renewed(self) -> None:
        """Wait until every worker's row tells what its pod is doing now."""
        before = {name: pod.renewals for name, pod in self.pods_by_name.items()}
        await self.until(
            lambda: all(
                pod.renewals > before.get(name, 0) + 1 for name, pod in self.pods_by_name.items()
            )
        )

    def crash(self, name: str) -> None:
        """Lose a pod as a node loss does: its lease stays until it ends."""
        self.pods_by_name.pop(name).ending = True
        self._gone.append(name)
        self._resize(self._desired)

    def restart(self, name: str) -> None:
        """Tell that a container ended whose worker has already been replaced."""
        self._gone.append(name)

    def evict(self, name: str) -> None:
        """Tell a pod to end as a node's drain does: its worker works on within its grace."""
        self.pods_by_name[name].evicted = True
        self._resize(self._desired)

    def _live(self) -> list[Pod]:
        return [pod for pod in self.pods_by_name.values() if not (pod.ending or pod.evicted)]

    def _told(self) -> list[Pod]:
        return [pod for pod in self._live() if pod.name not in self.untold]

    def _resize(self, desired: int) -> None:
        self._desired = desired
        live = self._live()
        born = desired if self.quota is None else min(desired, self.quota)
        for _ in range(born - len(live)):
            pod = Pod(name=next(self._names), created_s=time.monotonic())
            self.pods_by_name[pod.name] = pod
            self._tasks.create_task(self._run(pod))
        for pod in sorted(live, key=self._end_order)[: max(0, len(live) - desired)]:
            pod.ending = True
            self.ended.append(pod.name)
            if pod.busy:
                self.ended_busy.append(pod.name)

    def _end_order(self, pod: Pod) -> tuple[bool, bool, float]:
        return pod.ready_s is not None, pod.name not in self._preferred, -pod.created_s

    async def _run(self, pod: Pod) -> None:
        await asyncio.sleep(self._start_up_s)
        await self._ask(lambda store: store.register(self._row(pod)))
        pod.ready_s = time.monotonic()
        self._start_ups.append(pod.ready_s - pod.created_s)
        while not pod.ending:
            await self._notify()
            load = WorkerLoad(slots=self._slots, busy=pod.busy, held=0, draining=pod.draining)
            renewal = await self._ask(lambda store: store.renew(pod.worker_id, TTL_S, load))  # noqa: B023 -- awaited here
            pod.draining = renewal.drain
            pod.renewals += 1
            await asyncio.sleep(RENEW_EVERY_S)
        if self.pods_by_name.pop(pod.name, None) is not None:
            await self._ask(lambda store: store.deregister(pod.worker_id))
            self._gone.append(pod.name)
        await self._notify()

    async def _ask(self, question: Callable[[Store], Awaitable[Answer]]) -> Answer:
        assert self._store is not None
        async with self._store_lock:
            return await question(self._store)

    def _row(self, pod: Pod) -> WorkerRow:
        return WorkerRow(
            id=pod.worker_id,
            pod=pod.name,
            namespace=self._namespace,
            node="node",
            version="test",
            queues=self._queues,
            tasks=("work",),
            slots=self._slots,
            ttl_s=TTL_S,
        )

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def pod_id(name: str, namespace: str = NAMESPACE) -> PodId:
    """Name one of these pods; they have no UID."""
    return PodId(namespace=namespace, name=name)
