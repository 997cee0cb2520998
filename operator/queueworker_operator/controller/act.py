"""Bring the target to what was decided: out at once, in through drains."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from queueworker_operator.controller import scale_in
from queueworker_operator.controller.known import all_known
from queueworker_operator.controller.ports import Ports, fact_of
from queueworker_operator.controller.record import Verdict
from queueworker_operator.controller.watch import Attempt, Watch
from queueworker_operator.decision.model import Mode, PodId
from queueworker_operator.decision.scale_in import PodLoad
from queueworker_operator.errors import (
    GrantMissing,
    LagUnavailable,
    TargetConflict,
    TargetUnavailable,
)
from queueworker_operator.lag import QueueLag, WorkerState
from queueworker_operator.lag.pods import rows_of
from queueworker_operator.report import Fact
from queueworker_operator.text import counted

logger = logging.getLogger(__name__)

ASKED_PER_DRAIN = 3


@dataclass(slots=True)
class Action:
    """Acts on one verdict, once. `facts` collects what a person should know.

    `before` is the write that failed in the step before.
    """

    ports: Ports
    watch: Watch
    verdict: Verdict
    lags: Sequence[QueueLag]
    facts: dict[Fact, str]
    written: int | None = None
    before: Attempt | None = None

    async def run(self) -> int | None:
        """Act; give what the target was asked for, None for nothing."""
        decision = self.verdict.decision
        self.before, self.watch.failed = self.watch.failed, None
        automatic = self.verdict.policy.mode is Mode.AUTO
        if self.verdict.policy.mode is Mode.DRY_RUN and not self.watch.scale_in.is_under_way:
            return None  # drains that it finds are those of whoever scales the target
        try:
            await self._drain(self._wanted() if automatic else 0)
        except LagUnavailable as exc:
            self.facts[fact_of(exc)] = str(exc)
        if automatic and decision.desired > decision.current:
            await self._scale(decision.desired)
        return self.written

    def _wanted(self) -> int:
        """Count the pods that are to go; none in a rollout, which ends pods by its own order."""
        decision = self.verdict.decision
        return 0 if self.verdict.replicas.rollout else max(0, decision.current - decision.desired)

    async def _drain(self, wanted: int) -> None:
        watch, settings, now_s = self.watch, self.ports.settings, self.ports.clock()
        if self.verdict.sample is None or watch.asked is not None:
            return  # no data, or the target's caches do not show our last write yet
        await self._adopt()
        if not wanted and not watch.scale_in.is_under_way:
            return
        replicas = await all_known(watch, self.verdict.replicas, wanted, now_s)
        if replicas is None:
            if watch.looked.trouble:
                self.facts[Fact.SCALE_IN_BLOCKED] = watch.looked.trouble
            return
        pods = tuple(watch.assignment.target.pods())
        # Asked for and never created (a quota): these go first, and nobody drains for them.
        unborn = min(wanted, max(0, replicas.current - len(pods)))
        try:
            loads = await self._loads(pods) if wanted else ()
        except GrantMissing as exc:
            await self._scale_without_drain(exc)
            return
        step = scale_in.step(
            watch.scale_in,
            scale_in.Scene(
                now_s=now_s,
                wanted=wanted - unborn,
                pods=tuple(pod.name for pod in pods),
                loads=loads,
                starting=len(replicas.starting_ages_s),
                patience_s=settings.patience_s(watch.assignment.target.grace_s()),
                spare_s=settings.spare_s,
            ),
        )
        await self._take(step, unborn)

    async def _take(self, step: scale_in.Step, unborn: int) -> None:
        source, watch = self.ports.source, self.watch
        if not self.ports.may_write():
            return  # the lease may have ended while the database answered
        watch.adopted = False  # should the outcome of what follows stay unknown, it is looked up
        if step.undo:
            await source.set_drain(step.undo, drain=False)
            undone = counted(len(step.undo), "worker")
            logger.info("%s: drain undone for %s", watch.assignment.key, undone)
        try:
            await self._ask_drains(step)
        except GrantMissing as exc:
            await self._scale_without_drain(exc)
            return
        watch.scale_in, watch.adopted = step.memory, True
        if step.blocked:
            self.facts[Fact.SCALE_IN_BLOCKED] = step.blocked
        retire = await self._marked(step)
        going = len(retire) + unborn
        if going and await self._scale(self.verdict.replicas.current - going):
            watch.scale_in = step.memory.retire(retire, self.ports.clock())

    async def _marked(self, step: scale_in.Step) -> Collection[str]:
        """Mark the victims that are done, and give those that will go first; the rest come next."""
        if not step.retire or not self.ports.may_write():
            return ()
        leaving = tuple(victim.pod for victim in step.memory.leaving)
        try:
            return await self.watch.assignment.target.prefer(step.retire, leaving)
        except TargetUnavailable as exc:
            text = f"others might be ended in place of {counted(len(step.retire), 'drained pod')}: {exc}"
            self.facts[Fact.SCALE_IN_BLOCKED] = text
            return ()

    async def _ask_drains(self, step: scale_in.Step) -> None:
        """Ask new victims to drain; in time, all of them again: what is not asked again ends."""
        watch, now_s = self.watch, self.ports.clock()
        lasts_s = self.ports.settings.drain_lasts_s
        is_due = now_s - watch.drains_asked_at_s >= lasts_s / ASKED_PER_DRAIN
        asked = step.memory.worker_ids() if is_due else step.drain
        if asked:
            await self.ports.source.set_drain(asked, drain=True, for_s=lasts_s)
        if is_due:
            watch.drains_asked_at_s = now_s
        if step.drain:
            draining = counted(len(step.drain), "worker drains", "workers drain")
            logger.info("%s: %s", watch.assignment.key, draining)

    async def _scale(self, desired: int) -> bool:
        """Record, then write; a write that fails is tried again at the next tick."""
        target = self.watch.assignment.target
        if not await self._recorded(desired):
            return False
        if not self.ports.may_write():
            return False  # the lease may have ended while the database answered
        try:
            await target.scale(desired)
        except TargetConflict as exc:
            self.facts[Fact.TARGET_CONFLICT] = str(exc)
            return False
        except TargetUnavailable as exc:
            self.facts[Fact.TARGET_UNAVAILABLE] = str(exc)
            return False
        self.watch.failed = None
        self.watch.has_asked(desired, self.ports.clock())
        self.written = desired
        return True

    async def _recorded(self, desired: int) -> bool:
        """Record the decision, once for all tries in a row, or failures would push the history out.

        After a while it is recorded anew: the inputs are others by then.
        """
        now_s, before = self.ports.clock(), self.before
        attempt = Attempt(
            current=self.verdict.replicas.current,
            desired=desired,
            is_blind=self.verdict.sample is None,
            recorded_at_s=now_s,
        )
        again_s = self.ports.settings.record_again_s
        if before is not None and before == attempt and now_s - before.recorded_at_s < again_s:
            self.watch.failed = before
            return True
        key = self.watch.assignment.key
        if not await self.ports.history.keep(key, self.verdict, desired):
            text = f"not scaled to {desired}: the database did not take the decision's record"
            self.facts[Fact.METRICS_UNAVAILABLE] = text
            return False
        self.watch.failed = attempt
        return True

    async def _scale_without_drain(self, missing: GrantMissing) -> None:
        """Scale in all the same: SIGTERM drains a worker too, within its grace only."""
        text = f"pods are ended by SIGTERM alone, within their grace: {missing}"
        self.facts[Fact.GRANT_MISSING] = text
        await self._scale(self.verdict.decision.desired)

    async def _adopt(self) -> None:
        """Take over drains that an earlier controller began; looked for once."""
        if self.watch.adopted:
            return
        if any(lag.draining_workers for lag in self.lags):
            pods, replicas = tuple(self.watch.assignment.target.pods()), self.verdict.replicas
            rows = await self._rows(pods)
            found = scale_in.Found(
                pods=tuple(pod.name for pod in pods),
                ending=0 if replicas.rollout else max(0, len(pods) - replicas.current),
                loads=tuple(map(load_of, rows)),
                drained=frozenset(row.worker_id for row in rows if row.drain),
            )
            self.watch.scale_in = self.watch.scale_in.adopt(found, self.ports.clock())
        self.watch.adopted = True

    async def _loads(self, pods: Collection[PodId]) -> tuple[PodLoad, ...]:
        return tuple(map(load_of, await self._rows(pods)))

    async def _rows(self, pods: Collection[PodId]) -> Sequence[WorkerState]:
        """Read the workers of these pods: the database may have those of namesakes, too."""
        rows = await self.ports.source.workers(self.watch.assignment.queues)
        return rows_of(rows, pods, shared=self.watch.shared)


def load_of(row: WorkerState) -> PodLoad:
    """Give a worker's row in the words of the decision."""
    return PodLoad(
        pod=row.pod,
        worker_id=row.worker_id,
        busy=row.busy,
        held=row.held,
        draining=row.draining,
        age_s=row.started_age_s,
        oldest_start_age_s=row.oldest_start_age_s,
    )
