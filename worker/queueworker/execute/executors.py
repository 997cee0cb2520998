"""The executor that a task asks for."""

import logging
import os

from queueworker.execute import coroutine
from queueworker.execute.call import Call, failure
from queueworker.execute.process import ProcessExecutor
from queueworker.execute.span import run_span
from queueworker.execute.thread import ThreadExecutor
from queueworker.job import Outcome
from queueworker.task import Executor

logger = logging.getLogger(__name__)


class Executors:
    """Runs calls in the event loop, in threads or in child processes that import `app`."""

    def __init__(self, app: str = "") -> None:
        self._threads = ThreadExecutor()
        self._processes = ProcessExecutor(app)
        self._own_pid = os.getpid()

    @property
    def stuck(self) -> int:
        """Give how many threads still run a call that was given up."""
        return self._threads.stuck

    async def execute(self, call: Call) -> Outcome:
        """Run one call; whatever happens is an outcome."""
        with run_span(call) as note:
            outcome = await self._outcome(call)
            if os.getpid() != self._own_pid:
                os._exit(0)  # a copy of the worker that the handler forked: it must not go on
            note(outcome)
        return outcome

    async def _outcome(self, call: Call) -> Outcome:
        try:
            match call.task.executor:
                case Executor.THREAD:
                    return await self._threads.execute(call)
                case Executor.PROCESS:
                    return await self._processes.execute(call)
                case _:
                    return await coroutine.execute(call)
        except Exception as exc:
            logger.exception("job %d could not be run", call.job.id)
            return failure(exc)

    def stop(self) -> None:
        """Kill the children and let idle threads end."""
        self._processes.stop()
        self._threads.stop()
