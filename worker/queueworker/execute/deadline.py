"""One timer for all running coroutines: a timer of its own would cost more than a short job."""

import asyncio
import math
import time


class Deadlines:
    """Cancels tasks that run past their time.

    The timer is set to the earliest end seen, so most jobs come and go without touching it.
    """

    def __init__(self) -> None:
        self._ends_s: dict[asyncio.Task[object], float] = {}
        self._expired: set[asyncio.Task[object]] = set()
        self._timer_s = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, task: asyncio.Task[object], timeout_s: float) -> None:
        """Let `task` run for `timeout_s` from now, on the loop's clock."""
        ends_s = time.monotonic() + timeout_s
        self._ends_s[task] = ends_s
        if ends_s < self._timer_s:
            self._set_timer(task.get_loop(), ends_s)

    def end(self, task: asyncio.Task[object]) -> bool:
        """Stop watching `task`; give whether its time was over."""
        if self._ends_s.pop(task, None) is not None:
            return False
        self._expired.discard(task)
        return True

    def _set_timer(self, loop: asyncio.AbstractEventLoop, ends_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = ends_s
        self._timer = loop.call_at(ends_s, self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = loop.time()
        self._timer, self._timer_s = None, math.inf
        for task in [task for task, ends_s in self._ends_s.items() if ends_s <= now_s]:
            del self._ends_s[task]
            self._expired.add(task)
            task.cancel()
        if self._ends_s:
            self._set_timer(loop, min(self._ends_s.values()))
