"""PURE: when the next read is due. A wake-up brings it forward, a storm of them does not."""

from dataclasses import dataclass, replace

from queueworker_operator.lag import Wake
from queueworker_operator.settings import LoopSettings

# A timer may fire a little before its time: such a read is a regular one.
TIMER_SLACK_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When the last read began, how many early reads are left at that time, and what it cost."""

    read_at_s: float
    early_left: float
    cost: float = 0.0

    def began(self, now_s: float, settings: LoopSettings) -> "Pace":
        """Note a read that begins now; an early one costs the part of an interval that it saved."""
        earned = max(0.0, now_s - self.read_at_s) * settings.early_reads_per_s
        left = min(float(settings.early_reads), self.early_left + earned)
        early = now_s < self.regular_at_s(settings) - TIMER_SLACK_S
        saved_s = max(0.0, self.regular_at_s(settings) - now_s)
        cost = min(left, saved_s / settings.read_every_s) if early else 0.0
        return Pace(read_at_s=now_s, early_left=left - cost, cost=cost)

    def paid_off(self) -> "Pace":
        """Give the last read's cost back: it led to a write."""
        return replace(self, early_left=self.early_left + self.cost, cost=0.0)

    def regular_at_s(self, settings: LoopSettings) -> float:
        """Tell when the next read is due without a wake-up."""
        return self.read_at_s + settings.read_every_s

    def due_at_s(self, settings: LoopSettings, wake: Wake) -> float:
        """Tell when the next read is due after the most urgent of the wake-ups since the last."""
        needed = 1 if wake is Wake.URGENT else 1 + settings.early_reserve
        if wake is Wake.NONE or self.early_left < needed:
            return self.regular_at_s(settings)
        return min(self.read_at_s + settings.least_gap_s, self.regular_at_s(settings))
