"""A token bucket: bounds how many writes there are."""

from collections.abc import Callable


class Bucket:
    """Gives `burst` tokens at once and `rate_per_s` of them on average."""

    def __init__(self, clock: Callable[[], float], *, rate_per_s: float, burst: float) -> None:
        self._clock = clock
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = burst
        self._filled_at_s = clock()

    @property
    def is_empty(self) -> bool:
        """Tell whether there is no token now."""
        now_s = self._clock()
        earned = (now_s - self._filled_at_s) * self._rate_per_s
        self._tokens = min(self._burst, self._tokens + earned)
        self._filled_at_s = now_s
        return self._tokens < 1

    def take(self) -> bool:
        """Take a token, if there is one."""
        if self.is_empty:
            return False
        self._tokens -= 1
        return True
