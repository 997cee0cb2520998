"""When a worker stops claiming, how long it lets jobs finish, and when it must be gone.

        flag set | SIGTERM            budget used | SIGTERM again           last second
RUNNING ─────────────────> DRAINING ─────────────────────────────> RELEASING ──────────> GONE
   ^     flag cleared         │
   └──────────────────────────┘ (never after a SIGTERM)

DRAINING   nothing is claimed, what has not started is given back, what runs goes on
RELEASING  what still runs is given back, uncharged
GONE       the process ends, whatever hangs

The operator's flag drains for as long as it is set. A SIGTERM at t, with SIGKILL at t + grace,
leaves a budget: jobs may run until `grace - margin`. Giving back in the usual way takes
half of the margin at most; the other half is for the last resort of a worker whose loop hangs.
The margin is a fifth of the grace: 1 s at least (half of a grace below 2 s), 5 s at most.
"""

from dataclasses import dataclass, replace
from enum import Enum

MARGIN_SHARE = 0.2
MOST_MARGIN_S = 5.0
LEAST_MARGIN_S = 1.0
RELEASE_SHARE = 0.5
LAST_RESORT_SHARE = 0.35
LEAST_END_S = 0.5


class Phase(Enum):
    """What a worker may do with jobs."""

    RUNNING = "running"
    DRAINING = "draining"
    RELEASING = "releasing"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """State of the drain. `grace_s` is the time between SIGTERM and SIGKILL."""

    grace_s: float
    is_flagged: bool = False
    finish_by_s: float | None = None
    gone_by_s: float | None = None

    @property
    def margin_s(self) -> float:
        """Give the part of the grace that is kept for giving jobs back."""
        least_s = min(LEAST_MARGIN_S, self.grace_s / 2)
        return min(MOST_MARGIN_S, max(least_s, MARGIN_SHARE * self.grace_s))

    @property
    def release_s(self) -> float:
        """Give how long giving jobs back may take."""
        return RELEASE_SHARE * self.margin_s

    @property
    def last_resort_s(self) -> float:
        """Give how long giving jobs back may take when the loop hangs; then comes the exit."""
        return LAST_RESORT_SHARE * self.margin_s

    @property
    def is_ending(self) -> bool:
        """Tell whether a signal came: that cannot be undone."""
        return self.finish_by_s is not None

    def with_flag(self, *, is_flagged: bool) -> "Drain":
        """Follow the operator's wish."""
        return replace(self, is_flagged=is_flagged)

    def with_signal(self, now_s: float) -> "Drain":
        """Take a SIGTERM: the first starts the budget, the second ends it."""
        if self.finish_by_s is None or self.gone_by_s is None:
            finish_by_s = now_s + self.grace_s - self.margin_s
            return replace(self, finish_by_s=finish_by_s, gone_by_s=finish_by_s + self.release_s)
        return replace(
            self,
            finish_by_s=min(self.finish_by_s, now_s),
            gone_by_s=min(self.gone_by_s, now_s + self.release_s),
        )

    def phase(self, now_s: float) -> Phase:
        """Tell what may be done now."""
        if self.finish_by_s is None or self.gone_by_s is None:
            return Phase.DRAINING if self.is_flagged else Phase.RUNNING
        if now_s < self.finish_by_s:
            return Phase.DRAINING
        return Phase.RELEASING if now_s < self.gone_by_s else Phase.GONE

    def end_within_s(self, now_s: float) -> float:
        """Give how long closing everything may take: after a signal no longer than the last resort."""
        most_s = max(LEAST_END_S, RELEASE_SHARE * self.margin_s)
        if self.gone_by_s is None:
            return most_s
        return max(0.0, min(most_s, self.gone_by_s + self.last_resort_s - now_s))

    def remaining_s(self, now_s: float) -> float:
        """Give the time that running jobs still have; infinite before a signal."""
        if self.finish_by_s is None:
            return float("inf")
        return max(0.0, self.finish_by_s - now_s)
