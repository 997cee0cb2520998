"""When a worker stops claiming, how long it lets jobs finish, and when it gives them back.

            flag set                 SIGTERM                 deadline | SIGTERM again
WORKING <──────────────> DRAINING ────────────> FINISHING ─────────────────────────> RELEASING
   │       flag cleared                             ^
   └────────────────────────────────────────────────┘  SIGTERM

DRAINING is the operator's wish and can be undone; FINISHING ends with the process.
"""

from dataclasses import dataclass, replace
from enum import Enum

MARGIN_SHARE = 0.2
MOST_MARGIN_S = 5.0


class Phase(Enum):
    """What a worker may do with jobs."""

    WORKING = "working"
    DRAINING = "draining"
    FINISHING = "finishing"
    RELEASING = "releasing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """State of the drain. `grace_s` is the time between SIGTERM and SIGKILL."""

    grace_s: float
    is_flagged: bool = False
    finish_by_s: float | None = None
    is_urgent: bool = False

    @property
    def margin_s(self) -> float:
        """Give the part of the grace that is kept for giving jobs back."""
        return min(MOST_MARGIN_S, MARGIN_SHARE * self.grace_s)

    def with_flag(self, *, is_flagged: bool) -> "Drain":
        """Follow the operator's wish."""
        return replace(self, is_flagged=is_flagged)

    def with_signal(self, now_s: float) -> "Drain":
        """Take a SIGTERM: the first starts the grace, the second ends it."""
        if self.finish_by_s is None:
            return replace(self, finish_by_s=now_s + self.grace_s - self.margin_s)
        return replace(self, is_urgent=True)

    def phase(self, now_s: float) -> Phase:
        """Tell what may be done now."""
        if self.finish_by_s is not None:
            is_over = self.is_urgent or now_s >= self.finish_by_s
            return Phase.RELEASING if is_over else Phase.FINISHING
        return Phase.DRAINING if self.is_flagged else Phase.WORKING

    def remaining_s(self, now_s: float) -> float:
        """Give the time that running jobs still have; infinite before a signal."""
        if self.finish_by_s is None:
            return float("inf")
        return 0.0 if self.is_urgent else max(0.0, self.finish_by_s - now_s)
