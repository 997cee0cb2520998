"""Run a claimed job in a slot: executor, outcome, transition."""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

from prometheus_client import Counter, Histogram

from queueworker.claim import Source
from queueworker.complete import Completer
from queueworker.context import Context
from queueworker.execute import Call, Executors
from queueworker.job import (
    ClaimedJob,
    Outcome,
    Released,
    Transition,
)
from queueworker.metrics import JOB_RUN, JOB_WAIT, JOBS, REFUSED
from queueworker.retry import Backoff, exponential, transition
from queueworker.store import complete_in
from queueworker.task import Task, TaskRegistry
from queueworker.worker.failures import log_failure
from queueworker.worker.slots import Run

logger = logging.getLogger(__name__)

FALLBACK = exponential()


class Runner:
    """Starts runs, and hands what they come to to the completer.

    `ended` is called with each run that held a slot and its service time.
    """

    def __init__(
        self,
        tasks: TaskRegistry,
        executors: Executors,
        completer: Completer,
        *,
        must_yield: Callable[[], bool],
        ended: Callable[[Run, float], None],
    ) -> None:
        self._tasks = tasks
        self._executors = executors
        self._completer = completer
        self._must_yield = must_yield
        self._ended = ended
        # The loop keeps only weak references to tasks.
        self._alive: set[asyncio.Task[None]] = set()

    @property
    def stragglers(self) -> int:
        """Give how many runs have not ended, abandoned ones included."""
        return len(self._alive)

    def begin(self, source: Source, job: ClaimedJob, claimed_s: float) -> Run:
        """Start a job in a task of its own."""
        now_s = time.monotonic()
        wait_s = max(0.0, job.run_at_wait_s + now_s - claimed_s)
        self._completer.tally(source.queue).started(now_s, wait_s)
        _wait_metric(source.queue.name).observe(wait_s)
        run = Run(source, job, now_s)
        run.task = asyncio.create_task(self._run(run))
        self._alive.add(run.task)
        return run

    def release(self, source: Source, job: ClaimedJob, outcome: Released) -> None:
        """Give a job back uncharged."""
        self._settle(source, job, outcome, FALLBACK)

    async def _run(self, run: Run) -> None:
        task = self._tasks.get(run.source.hints.task_of(run.job.lane))
        outcome = await self._executors.execute(self._call(run, task))
        now_s = time.monotonic()
        service_s = now_s - run.started_s
        queue = run.source.queue
        is_valid = not run.is_abandoned
        self._completer.tally(queue).ended(now_s, service_s, is_measure=is_valid)
        if is_valid:
            _run_metric(queue.name, task.name).observe(service_s)
            self._settle(run.source, run.job, outcome, task.options.backoff)
        else:
            REFUSED.labels(queue.name).inc()
        self._ended(run, service_s)
        if run.task is not None:
            self._alive.discard(run.task)

    def _call(self, run: Run, task: Task[..., object]) -> Call:
        job, queue = run.job, run.source.queue
        if job.timeout_s is None and task.options.timeout_s is not None:
            # Enqueued by SQL, which does not know the task's own limit.
            job = replace(job, timeout_s=task.options.timeout_s)
        context = Context(
            job,
            queue=queue.name,
            task=task.name,
            must_yield=self._must_yield,
            settle=partial(complete_in, queue=queue, job_id=job.id, token=job.token)
            if task.wants_context
            else None,
        )
        return Call(task=task, job=job, context=context)

    def _settle(self, source: Source, job: ClaimedJob, outcome: Outcome, backoff: Backoff) -> None:
        _jobs_metric(source.queue.name, type(outcome).__name__.lower()).inc()
        change = _transition(job, outcome, backoff)
        if change.failure is not None:
            log_failure(source.hints.task_of(job.lane), job, outcome, change)
        self._completer.add(source.queue, change)


# Finding a metric's child by its labels costs as much as the observation.
@cache
def _wait_metric(queue: str) -> Histogram:
    return JOB_WAIT.labels(queue)


@cache
def _run_metric(queue: str, task: str) -> Histogram:
    return JOB_RUN.labels(queue, task)


@cache
def _jobs_metric(queue: str, outcome: str) -> Counter:
    return JOBS.labels(queue, outcome)


def _transition(job: ClaimedJob, outcome: Outcome, backoff: Backoff) -> Transition:
    unit = random.random()  # noqa: S311 - jitter
    try:
        return transition(job, outcome, backoff, unit)
    except Exception:
        # The user's backoff function failed; the job must not hang for that.
        logger.exception("the backoff of job %d failed; the default is used", job.id)
        return transition(job, outcome, FALLBACK, unit)
