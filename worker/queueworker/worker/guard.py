"""Signals, and the last resort: a thread that gives jobs back when the main loop cannot.

Python runs signal handlers in the main thread, which a handler may keep busy. The wake-up file
descriptor is written by the C handler at once, so this thread hears SIGTERM in any case.
"""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from queueworker.drain import Drain

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Guard:
    """Tells of SIGTERM and SIGINT; ends the process when it has not ended by itself in time.

    It follows its own copy of the drain: the worker's is moved by the loop, which may hang.
    `last_resort` is given the seconds that it may take; after it the process is gone.
    """

    def __init__(
        self,
        drain: Drain,
        *,
        signalled: Callable[[float, str], None],
        last_resort: Callable[[float], bool],
    ) -> None:
        self._drain = drain
        self._signalled = signalled
        self._last_resort = last_resort
        self._ends_s: float | None = None
        self._exit_status: int | None = None
        self._ours, self._theirs = socket.socketpair()
        self._theirs.setblocking(False)  # noqa: FBT003 - a wake-up descriptor must not block

    def start(self) -> None:
        """Listen to signals; to be called in the main thread."""
        signal.set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, lambda _number, _frame: None)
        threading.Thread(target=self._watch, name="guard", daemon=True).start()

    def expire_in(self, seconds: float, exit_status: int) -> None:
        """End the process with this status unless it ends by itself: hanging threads may not."""
        self._exit_status = exit_status
        self._ends_s = time.monotonic() + seconds
        with suppress(OSError):
            self._theirs.send(b"\0")

    def _watch(self) -> None:
        while True:
            ends_s = self._ends_s
            left_s = None if ends_s is None else ends_s - time.monotonic()
            if left_s is not None and left_s <= 0:
                self._end()
            self._ours.settimeout(left_s)
            try:
                number = self._ours.recv(1)[0]
            except TimeoutError:
                continue
            if number in SIGNALS:
                self._take_signal(time.monotonic(), signal.Signals(number).name)

    def _take_signal(self, now_s: float, name: str) -> None:
        self._drain = self._drain.with_signal(now_s)
        if self._exit_status is None:
            self._ends_s = self._drain.gone_by_s
        self._signalled(now_s, name)

    def _end(self) -> None:
        if self._exit_status is not None:
            os._exit(self._exit_status)
        logger.error("the drain did not end in time: a handler blocks; giving its jobs back")
        was_given_back = False
        try:
            was_given_back = self._last_resort(self._drain.last_resort_s)
        finally:
            os._exit(0 if was_given_back else 1)
