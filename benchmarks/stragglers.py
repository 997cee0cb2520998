"""Jobs whose transaction commits late: how long after the commit do they start?"""

import threading
import time
from types import TracebackType
from typing import Self

from benchmarks.running import Site

OPEN_S, PAUSE_S = 0.3, 0.2
ENQUEUE = "SELECT queueworker.enqueue('bench', 'stamp', jsonb_build_object('at', %s::float8))"


class Stragglers:
    """Enqueues in a loop, each time in a transaction that stays open for 0.3 s (a thread)."""

    def __init__(self, place: Site) -> None:
        self._place = place
        self._committed: dict[float, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def enqueued_at_s(self) -> frozenset[float]:
        """Give the times that mark these jobs among all stamped ones."""
        return frozenset(self._committed)

    def waits_s(self, place: Site) -> list[float]:
        """Give the times from commit to start; call it when all have run."""
        return [
            start - self._committed[at] for at, start in place.stamps() if at in self._committed
        ]

    def _run(self) -> None:
        with self._place.server.connect(self._place.database) as conn:
            while not self._stop.wait(PAUSE_S):
                at = time.time()
                with conn.transaction():
                    conn.execute(ENQUEUE, (at,))
                    time.sleep(OPEN_S)
                self._committed[at] = time.time()
