"""Plain functions: in threads. A thread cannot be stopped, so a late one is given up.

Its result is refused, and it holds its slot until it ends: a worker whose slots are all held by
such threads says so at `/livez`.
"""

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

from queueworker.errors import InvalidCall
from queueworker.execute.call import Call, failure, invalid_arguments
from queueworker.job import Cancelled, Outcome, TimedOut

_Work = Callable[[], None]


class ThreadExecutor:
    """Threads that are made on demand and kept. They are daemons: they never delay an exit."""

    def __init__(self) -> None:
        self._works: SimpleQueue[_Work | None] = SimpleQueue()
        self._idle = 0
        self._made = 0
        self._lock = threading.Lock()
        self.stuck = 0

    async def execute(self, call: Call) -> Outcome:
        """Run the function in a thread and wait for it until its timeout."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._submit(_work(call, future))
        try:
            async with asyncio.timeout(call.job.timeout_s):
                return await asyncio.shield(future)
        except TimeoutError:
            self._give_up(future)
            return TimedOut(timeout_s=call.job.timeout_s or 0.0)
        except asyncio.CancelledError:
            self._give_up(future)
            return Cancelled()

    def stop(self) -> None:
        """Let idle threads end."""
        for _ in range(self._made):
            self._works.put(None)

    def _submit(self, work: _Work) -> None:
        with self._lock:
            if self._idle == 0:
                self._made += 1
                name = f"task-{self._made}"
                threading.Thread(target=self._serve, name=name, daemon=True).start()
            else:
                self._idle -= 1
        self._works.put(work)

    def _serve(self) -> None:
        while (work := self._works.get()) is not None:
            work()
            # Nothing may keep the last job's arguments alive while this thread waits.
            del work
            with self._lock:
                self._idle += 1

    def _give_up(self, future: asyncio.Future[Outcome]) -> None:
        if future.done():
            return
        self.stuck += 1
        future.add_done_callback(self._came_back)

    def _came_back(self, _future: asyncio.Future[Outcome]) -> None:
        self.stuck -= 1


def _work(call: Call, future: asyncio.Future[Outcome]) -> _Work:
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()
    own_pid = os.getpid()

    def work() -> None:
        outcome = context.run(_run, call)
        if os.getpid() != own_pid:
            os._exit(0)  # a copy of the worker that the handler forked: it must not go on as one
        try:
            loop.call_soon_threadsafe(_settle, future, outcome)
        except RuntimeError:
            # The loop has ended; nobody waits for this outcome.
            return

    return work


def _settle(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)


def _run(call: Call) -> Outcome:
    try:
        return call.success(call.invoke(call.arguments()))
    except InvalidCall as exc:
        return invalid_arguments(exc)
    except BaseException as exc:  # noqa: BLE001 - sys.exit() in a handler must not end the thread
        return failure(exc)
