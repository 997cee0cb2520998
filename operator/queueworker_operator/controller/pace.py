"""PURE: when the next read is due. A wake-up brings it forward, a storm of them does not."""

from dataclasses import dataclass, replace

from queueworker_operator.settings import LoopSettings

# A timer may fire a little before its time: such a read is a regular one.
TIMER_SLACK_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When the last read began, and how many early reads are left at that time."""

    read_at_s: float
    early_left: float

    def began(self, now_s: float, settings: LoopSettings) -> "Pace":
        """Note a read that begins now; one before its regular time uses up an early read."""
        earned = max(0.0, now_s - self.read_at_s) * settings.early_reads_per_s
        left = min(float(settings.early_reads), self.early_left + earned)
        early = now_s < self.regular_at_s(settings) - TIMER_SLACK_S
        return replace(self, read_at_s=now_s, early_left=max(0.0, left - 1) if early else left)

    def regular_at_s(self, settings: LoopSettings) -> float:
        """Tell when the next read is due without a wake-up."""
        return self.read_at_s + settings.read_every_s

    def woken_at_s(self, settings: LoopSettings) -> float:
        """Tell when the next read is due after a wake-up."""
        if self.early_left < 1:
            return self.regular_at_s(settings)
        return min(self.read_at_s + settings.least_gap_s, self.regular_at_s(settings))
