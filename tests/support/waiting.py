"""Wait for an outcome, with a deadline, never for luck."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE_S = 60.0  # for what comes by all means: ten times what a busy machine needs


def wait_until(
    condition: Callable[[], T | None],
    *,
    what: str,
    within_s: float = PATIENCE_S,
    every_s: float = 0.2,
) -> T:
    """Ask `condition` again and again; give its first true answer.

    Raises:
        AssertionError: no true answer came in time; the last answer is in the message.
    """
    deadline_s = time.monotonic() + within_s
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {within_s:.0f} s: {what} (last answer: {answer!r})")
        time.sleep(every_s)
