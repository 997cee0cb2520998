"""The executor that a task asks for."""

import asyncio
import logging
import os
from typing import cast

from queueworker.execute import coroutine
from queueworker.execute.call import Call, failure
from queueworker.execute.deadline import Deadlines
from queueworker.execute.process import ProcessExecutor
from queueworker.execute.span import is_tracing, run_span
from queueworker.execute.thread import ThreadExecutor
from queueworker.job import Outcome
from queueworker.task import Executor

logger = logging.getLogger(__name__)


class Executors:
    """Runs calls in the event loop, in threads or in child processes that import `app`."""

    def __init__(self, app: str = "") -> None:
        self._deadlines = Deadlines()
        self._is_tracing = is_tracing()
        self._threads = ThreadExecutor()
        self._processes = ProcessExecutor(app)
        self._own_pid = os.getpid()

    @property
    def stuck(self) -> int:
        """Give how many threads still run a call that was given up."""
        return self._threads.stuck

    async def execute(self, call: Call, task: asyncio.Task[None] | None = None) -> Outcome:
        """Run one call in `task`, the running one; whatever happens is an outcome."""
        task = task or cast("asyncio.Task[None]", asyncio.current_task())
        if not self._is_tracing:
            return self._of_worker(await self._outcome(call, task))
        with run_span(call) as note:
            outcome = self._of_worker(await self._outcome(call, task))
            note(outcome)
        return outcome

    def _of_worker(self, outcome: Outcome) -> Outcome:
        if os.getpid() != self._own_pid:
            os._exit(0)  # a copy of the worker that the handler forked: it must not go on
        return outcome

    async def _outcome(self, call: Call, task: asyncio.Task[None]) -> Outcome:
        executor = call.task.executor
        try:
            if executor is Executor.ASYNC:
                return await coroutine.execute(call, self._deadlines, task)
            if executor is Executor.PROCESS:
                return await self._processes.execute(call)
            return await self._threads.execute(call)
        except Exception as exc:
            logger.exception("job %d could not be run", call.job.id)
            return failure(exc)

    def stop(self) -> None:
        """Kill the children and let idle threads end."""
        self._processes.stop()
        self._threads.stop()
