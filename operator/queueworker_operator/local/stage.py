"""One run: the controller's loop over local targets, the replay, the view; then the drain."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from queueworker_operator.controller import Assignment, DatabaseLoop
from queueworker_operator.errors import LagUnavailable
from queueworker_operator.lag.postgres import PostgresLag
from queueworker_operator.lag.sample import NONE_UNKNOWN, pool
from queueworker_operator.local.command import Machine, command_of
from queueworker_operator.local.history import History, Point, ScaleEvent
from queueworker_operator.local.manifests import Workload
from queueworker_operator.local.plan import Plan, node_name
from queueworker_operator.local.replay import connect, unfinished
from queueworker_operator.local.summary import DEAD, Cost, Summary
from queueworker_operator.local.tally import take_account
from queueworker_operator.local.view import Progress, View, describe, view_for
from queueworker_operator.resource import grace_s_of
from queueworker_operator.settings import LoopSettings
from queueworker_operator.target.pod import Command
from queueworker_operator.target.process import ProcessTarget
from queueworker_operator.text import counted

SHOW_EVERY_S = 0.25
CHECK_EVERY_S = 0.5
STUCK_AFTER_S = 60.0  # without any job finished, waiting on is no use
SETTLE_S = 60.0  # how long the end of a replay waits for the scale-in


class Stage:
    """Everything that lives between the database's start and its stop.

    Args:
        plan: What to run.
        dsn: The migrated database.
        logs: Where the pods' output goes.
        console: Where the view goes.
    """

    def __init__(self, plan: Plan, dsn: str, logs: Path, console: Console) -> None:
        self._plan = plan
        self._dsn = dsn
        self._started_s = time.monotonic()
        self._targets = {
            workload.resource.key: self._target(workload, logs)
            for workload in plan.manifests.workloads
        }
        self._history = History(self._targets, self._now_s, self._tell)
        self._loop = DatabaseLoop(
            PostgresLag(dsn), self._history, may_write=lambda: True, settings=LoopSettings()
        )
        self._view: View = view_for(console, self._history, self._progress)

    async def play(self, stop: asyncio.Event) -> Summary:
        """Run until the work is done or `stop` is set; drain; give what it came to.

        Raises:
            LagUnavailable: the replay could not go on.
        """
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(part) for part in self._parts(stop)]
        try:
            await self._begin()
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            interrupted = stop.is_set()
        finally:
            await _end(tasks)
            await self._drain()
            self._view.close()
        for task in done:
            task.result()  # a part that failed says so here, after everything was taken down
        return await self._sum_up(interrupted=interrupted)

    def points(self) -> Sequence[Point]:
        """Give the series of the run."""
        return self._history.points

    def note(self, text: str) -> None:
        """Show a line that stays."""
        self._view.note(text)

    def kill(self) -> None:
        """End all pods at once."""
        for target in self._targets.values():
            target.kill()

    def _parts(self, stop: asyncio.Event) -> tuple[Coroutine[Any, Any, Any], ...]:
        return stop.wait(), self._loop.run(), self._show(), self._until_done()

    async def _begin(self) -> None:
        for workload in self._plan.manifests.workloads:
            resource, policy = workload.resource, workload.policy
            target = self._targets[resource.key]
            target.on_change = self._loop.wake
            asked = (workload.deployment.get("spec") or {}).get("replicas")
            await target.scale(policy.min_replicas if asked is None else int(asked))
            self._loop.assign(
                Assignment(key=resource.key, queues=resource.queues, policy=policy, target=target)
            )

    async def _show(self) -> None:
        while True:
            self._view.show(self._history.record())
            await asyncio.sleep(SHOW_EVERY_S)

    async def _until_done(self) -> None:
        """Return when the replay is over, all jobs are finished and the workers scaled in."""
        if self._plan.replay is not None:
            await self._plan.replay.run(self._dsn)
        if not self._plan.options.exit_when_done:
            await asyncio.Event().wait()
        if await self._all_finished():
            await self._scaled_in()

    async def _all_finished(self) -> bool:
        left: frozenset[int] = frozenset()
        changed_s = self._now_s()
        async with await connect(self._dsn) as connection:
            while self._now_s() - changed_s < STUCK_AFTER_S:
                states = await unfinished(connection, self._queues())
                now_left = frozenset(job for job, state in states.items() if state != DEAD)
                if not now_left:
                    return True
                if now_left != left:
                    left, changed_s = now_left, self._now_s()
                await asyncio.sleep(CHECK_EVERY_S)
        self.note(f"no job finished for {STUCK_AFTER_S:.0f} s, {len(left)} are left: giving up")
        return False

    async def _scaled_in(self) -> None:
        least = sum(workload.policy.min_replicas for workload in self._plan.manifests.workloads)
        deadline_s = self._now_s() + SETTLE_S
        while self._processes() > least and self._now_s() < deadline_s:  # noqa: ASYNC110 a bound
            await asyncio.sleep(CHECK_EVERY_S)

    async def _drain(self) -> None:
        if count := self._processes():
            self.note(f"draining {counted(count, 'worker')}")
        showing = asyncio.create_task(self._show())
        await asyncio.gather(*(target.close() for target in self._targets.values()))
        self._history.record()
        await _end([showing])

    async def _sum_up(self, *, interrupted: bool) -> Summary:
        """Say what it came to, now that no worker is left."""
        cost = Cost(
            duration_s=self._now_s(),
            max_workers=sum(target.peak for target in self._targets.values()),
            worker_seconds=sum(target.spent_s() for target in self._targets.values()),
        )
        await self._read_once_more()
        account, complete = None, True
        if self._plan.replay is not None:
            account, complete = await take_account(
                self._dsn, self._plan.replay, self._start_within_s()
            )
        waiting, oldest_s = self._history.waiting()
        return Summary(
            account=account,
            complete=complete,
            cost=cost,
            late_percent=account.late_percent if account else self._history.lateness().percent,
            start_within_s=self._start_within_s(),
            finished=self._history.finished(),
            waiting=waiting,
            oldest_s=oldest_s,
            events=tuple(self._history.events),
            trace=self._plan.trace_name,
            interrupted=interrupted,
        )

    async def _read_once_more(self) -> None:
        """Count what finished in the drain; nobody swept the counters up since."""
        source = PostgresLag(self._dsn)
        try:
            await source.tend(self._queues())
            lags = await source.read(self._queues())
        except LagUnavailable:
            return  # the counts end with the loop's last reading
        finally:
            await source.close()
        for workload in self._plan.manifests.workloads:
            queues, policy = workload.resource.queues, workload.policy
            if rows := tuple(lags[queue] for queue in queues if queue in lags):
                sample = pool(rows, policy.start_within_s, NONE_UNKNOWN)
                self._history.conclude(workload.resource.key, sample)

    def _target(self, workload: Workload, logs: Path) -> ProcessTarget:
        machine = Machine(dsn=self._dsn, node=node_name(), environment=self._plan.environment)

        def command(pod: str) -> Command:
            return command_of(workload, pod, self._plan.manifests.folder, machine)

        return ProcessTarget(
            workload.resource.namespace,
            workload.resource.target_name,
            command,
            grace_s=grace_s_of(workload.deployment),
            logs=logs,
        )

    def _tell(self, event: ScaleEvent) -> None:
        self.note(describe(event))

    def _progress(self) -> Progress:
        replay = self._plan.replay
        if replay is None:
            return Progress()
        return Progress(planned=len(replay.arrivals), enqueued=len(replay.enqueued_at_s))

    def _now_s(self) -> float:
        return time.monotonic() - self._started_s

    def _processes(self) -> int:
        return sum(target.processes() for target in self._targets.values())

    def _queues(self) -> list[str]:
        workloads = self._plan.manifests.workloads
        return sorted({queue for workload in workloads for queue in workload.resource.queues})

    def _start_within_s(self) -> float:
        """Give the promise of the queue that is replayed; without a replay the tightest one."""
        workloads = self._plan.manifests.workloads
        queue = self._plan.replay.queue if self._plan.replay else None
        promises = [
            workload.policy.start_within_s
            for workload in workloads
            if queue is None or queue in workload.resource.queues
        ]
        return min(promises)


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    """Cancel `tasks` and wait for them; their failures were or will be looked at elsewhere."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
