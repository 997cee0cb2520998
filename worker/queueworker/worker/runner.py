"""Run a claimed job in a slot: executor, outcome, transition."""

import logging
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from psycopg import AsyncConnection

from queueworker.claim import Source
from queueworker.complete import Completer
from queueworker.context import Context
from queueworker.execute import Call, Executors
from queueworker.job import (
    SUCCEEDED,
    ClaimedJob,
    Outcome,
    Released,
    Settled,
    Transition,
    TransitionKind,
)
from queueworker.metrics import JOB_RUN, JOBS, REFUSED
from queueworker.retry import Backoff, exponential, guarded, transition
from queueworker.store import complete_in
from queueworker.task import Task, TaskRegistry
from queueworker.worker.failures import log_failure, log_settled
from queueworker.worker.slots import Slot

logger = logging.getLogger(__name__)

FALLBACK = exponential()


class _Kind:
    """What all jobs of one lane share; looked up once a lane."""

    __slots__ = ("observe", "outbox", "task")

    def __init__(self, task: Task[..., object], source: Source, completer: Completer) -> None:
        self.task = task
        self.outbox = completer.outbox(source)
        self.observe = JOB_RUN.child(source.queue.name, task.name).observe


class Runner:
    """Runs jobs, and hands what they come to to the completer."""

    def __init__(
        self,
        tasks: TaskRegistry,
        executors: Executors,
        completer: Completer,
        must_yield: Callable[[], bool],
    ) -> None:
        self._tasks = tasks
        self._executors = executors
        self._completer = completer
        self._must_yield = must_yield
        self._kinds: dict[int, _Kind] = {}

    async def run(self, slot: Slot, job: ClaimedJob) -> float:
        """Run a job in its slot, settle it, and give its service time in seconds."""
        kind = self._kinds.get(job.lane) or self._learn(slot.source, job)
        started_s, tally = slot.started_s, kind.outbox.tally
        call = self._call(kind.task, slot, job)
        wait_s = job.run_at_wait_s + started_s - slot.claimed_s
        tally.started(started_s, wait_s if wait_s > 0 else 0.0)
        outcome: Outcome = SUCCEEDED
        if not slot.is_cancelled:
            outcome = await self._executors.execute(call, slot.task)
        ended_s = time.monotonic()
        service_s = ended_s - started_s
        if slot.is_cancelled and not slot.is_given_up:
            tally.stopped(ended_s)
            self.forget(slot.source, job)
            return service_s
        if slot.is_given_up:
            tally.stopped(ended_s)
            REFUSED.labels(slot.source.queue.name).inc()
            return service_s
        tally.ended(ended_s, service_s)
        kind.observe(service_s)
        if outcome is SUCCEEDED:
            kind.outbox.succeeded(job)
        else:
            self._settle(slot.source, call, outcome)
        return service_s

    def release(self, source: Source, job: ClaimedJob, outcome: Released) -> None:
        """Give a job back uncharged."""
        JOBS.labels(source.queue.name, "released").inc()
        self._completer.outbox(source).add(_transition(job, outcome, FALLBACK))

    def forget(self, source: Source, job: ClaimedJob) -> None:
        """Let go of a job that was cancelled: the database has removed it."""
        JOBS.labels(source.queue.name, "removed").inc()
        gone = Transition(job_id=job.id, token=job.token, kind=TransitionKind.SETTLED)
        self._completer.outbox(source).add(gone)

    def _learn(self, source: Source, job: ClaimedJob) -> _Kind:
        task = self._tasks.get(source.hints.task_of(job.lane))
        kind = self._kinds[job.lane] = _Kind(task, source, self._completer)
        return kind

    def _call(self, task: Task[..., object], slot: Slot, job: ClaimedJob) -> Call:
        if job.timeout_s is None and task.options.timeout_s is not None:
            # Enqueued by SQL, which does not know the task's own limit.
            job = job._replace(timeout_s=task.options.timeout_s)
        queue = slot.source.queue
        if not task.wants_context:
            return Call(task, job, queue.name)
        context = Context(
            job,
            queue=queue.name,
            task=task.name,
            must_yield=lambda: slot.is_cancelled or self._must_yield(),
            settle=partial(_complete, slot.source, job),
        )
        return Call(task, job, queue.name, context)

    def _settle(self, source: Source, call: Call, outcome: Outcome) -> None:
        job = call.job
        change = _transition(job, outcome, call.task.options.backoff)
        if call.context is not None and call.context.is_settled:
            change = guarded(change)
            log_settled(call.task.name, job, outcome, change)
            outcome = Settled()
        elif change.failure is not None:
            log_failure(call.task.name, job, outcome, change)
        JOBS.labels(source.queue.name, type(outcome).__name__.lower()).inc()
        self._completer.outbox(source).add(change)


async def _complete(source: Source, job: ClaimedJob, conn: AsyncConnection[Any]) -> None:
    # The queue may have been moved since the handler started.
    await complete_in(conn, source.queue, job.id, job.token)


def _transition(job: ClaimedJob, outcome: Outcome, backoff: Backoff) -> Transition:
    unit = random.random()  # noqa: S311 - jitter
    try:
        return transition(job, outcome, backoff, unit)
    except Exception:
        # The user's backoff function failed; the job must not hang for that.
        logger.exception("the backoff of job %d failed; the default is used", job.id)
        return transition(job, outcome, FALLBACK, unit)
