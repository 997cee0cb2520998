"""Name the handler that holds up the others: it blocks the event loop, or the whole process.

A thread looks at the stack of the loop's thread while the loop does not answer. A handler that
holds Python's lock (a C extension may) stops this thread too: then it is named afterwards, from
the stacks of that moment. Nothing here costs a running job anything.
"""

import asyncio
import inspect
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import CodeType, FrameType

from queueworker.metrics import LOOP_BLOCKED
from queueworker.task import Task

logger = logging.getLogger(__name__)

BEAT_EVERY_S = 0.25
LOOK_EVERY_S = 0.5
BLOCKED_S = 1.0
STOOD_STILL_S = 2.0


class Watchdog:
    """Warns after `BLOCKED_S` and then each time that the blockage is twice as long."""

    def __init__(self, tasks: Iterable[Task[..., object]]) -> None:
        self._names = dict(_codes(tasks))
        self._beat_s = time.monotonic()
        self._warn_at_s = BLOCKED_S
        self._culprit = ""
        self._loop_thread = 0

    async def run(self) -> None:
        """Prove that the loop turns, until cancelled."""
        self._loop_thread = threading.get_ident()
        self._beat_s = time.monotonic()
        stop = threading.Event()
        threading.Thread(target=self._watch, args=(stop,), name="watchdog", daemon=True).start()
        try:
            while True:
                self._beat_s = time.monotonic()
                await asyncio.sleep(BEAT_EVERY_S)
        finally:
            stop.set()

    def _watch(self, stop: threading.Event) -> None:
        looked_s = time.monotonic()
        while not stop.wait(LOOK_EVERY_S):
            now_s = time.monotonic()
            still_s = now_s - looked_s - LOOK_EVERY_S
            looked_s = now_s
            if still_s > STOOD_STILL_S:
                self._stood_still(still_s)
            else:
                self._look(now_s - self._beat_s)

    def _look(self, blocked_s: float) -> None:
        if blocked_s < BLOCKED_S:
            if self._culprit:
                logger.warning("%s no longer blocks the event loop", self._culprit)
            self._warn_at_s, self._culprit = BLOCKED_S, ""
            return
        LOOP_BLOCKED.inc(LOOK_EVERY_S)
        if blocked_s >= self._warn_at_s:
            self._warn_at_s = 2 * blocked_s
            self._culprit, place = self._running(sys._current_frames().get(self._loop_thread))  # noqa: SLF001 - the documented way
            logger.warning(
                "%s blocks the event loop for %.1f s at %s: no other job of this worker goes on;"
                " make it a plain `def`, or use executor='process'",
                self._culprit,
                blocked_s,
                place,
            )

    def _stood_still(self, still_s: float) -> None:
        LOOP_BLOCKED.inc(still_s)
        frames = sys._current_frames().values()  # noqa: SLF001 - the documented way
        running = {name for frame in frames for name in self._tasks_of(frame)}
        logger.warning(
            "the whole process stood still for %.1f s: it was stopped, or had no CPU, or a handler"
            " held Python's lock; handlers on a thread at its end: %s",
            still_s,
            ", ".join(sorted(running)) or "none",
        )

    def _running(self, frame: FrameType | None) -> tuple[str, str]:
        """Name the task on a stack, and the line where it is."""
        names = list(self._tasks_of(frame))
        name = f"task {names[-1]!r}" if names else "something that is no task"
        return name, "an unknown line" if frame is None else _line(frame)

    def _tasks_of(self, frame: FrameType | None) -> Iterator[str]:
        while frame is not None:
            if (name := self._names.get(frame.f_code)) is not None:
                yield name
            frame = frame.f_back


def _codes(tasks: Iterable[Task[..., object]]) -> Iterator[tuple[CodeType, str]]:
    for task in tasks:
        function: Callable[..., object] = inspect.unwrap(task.function)
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType):
            yield code, task.name


def _line(frame: FrameType) -> str:
    code = frame.f_code
    return f"{Path(code.co_filename).name}:{frame.f_lineno} in {code.co_name}"
