"""How many jobs must have started by when: the demand side of the deadline test."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

BUCKET_S = 5.0
_SMALLEST_AGE_S = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """Scheduled jobs, `due[i]` = how many are due in the first i+1 buckets of 5 s."""

    due: tuple[int, ...] = ()

    @classmethod
    def of(cls, due_5s: Sequence[int]) -> "Announced":
        """Add the buckets up."""
        return cls(due=tuple(accumulate(due_5s)))

    def within(self, time_s: float) -> "Announced":
        """Leave out what falls due later than `time_s` from now."""
        return Announced(due=self.due[: max(int((time_s + BUCKET_S / 2) // BUCKET_S), 0)])

    def by(self, time_s: float) -> float:
        """Count the jobs due within `time_s`; bucket i falls due in its middle, 5 i + 2.5 s."""
        if not self.due:
            return 0.0
        buckets = min(int((time_s + BUCKET_S / 2) // BUCKET_S), len(self.due))
        return float(self.due[buckets - 1]) if buckets > 0 else 0.0

    def instants_s(self, until_s: float) -> Iterator[float]:
        """Give the instants at which jobs fall due, up to `until_s`."""
        for bucket, (before, after) in enumerate(pairwise((0, *self.due))):
            time_s = BUCKET_S * (bucket + 0.5)
            if after > before and time_s <= until_s:
                yield time_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """The fluid of jobs: a backlog, a forecast rate and announced jobs, each due in `deadline_s`.

    The ages of the backlog are taken to spread evenly from 0 to the oldest.
    """

    backlog: float
    oldest_age_s: float
    rate_per_s: float
    deadline_s: float
    announced: Announced = Announced()

    def claimable_by(self, time_s: float) -> float:
        """Count the jobs that could have started within `time_s`: those due at that instant not."""
        due = self.announced.by(time_s - _SMALLEST_AGE_S)
        return self.backlog + self.rate_per_s * time_s + due

    def most_by(self, time_s: float) -> float:
        """Bound the jobs that can be due or claimable within `time_s`."""
        return self.backlog + self.rate_per_s * max(time_s, 0.0) + self.announced.by(time_s)

    def due_by(self, time_s: float) -> float:
        """Count the jobs that must have started within `time_s` from now."""
        slack_s = self.deadline_s - time_s
        if slack_s <= 0:
            return self.backlog - self.rate_per_s * slack_s + self.announced.by(-slack_s)
        return self.backlog * max(1 - slack_s / max(self.oldest_age_s, _SMALLEST_AGE_S), 0.0)
