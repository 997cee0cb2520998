"""A token bucket: bounds the writes that are not real changes."""

from collections.abc import Callable

RATE_PER_S = 10.0
BURST = 50.0


class Bucket:
    """Gives `BURST` tokens at once and `RATE_PER_S` of them on average."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tokens = BURST
        self._filled_at_s = clock()

    def take(self) -> bool:
        """Take a token, if there is one."""
        now_s = self._clock()
        self._tokens = min(BURST, self._tokens + (now_s - self._filled_at_s) * RATE_PER_S)
        self._filled_at_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
