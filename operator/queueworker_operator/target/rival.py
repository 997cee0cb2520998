"""Another writer of `spec.replicas`: whoever overwrites us again and again. Pure."""

from dataclasses import dataclass, replace

from queueworker_operator.kube.api import FIELD_MANAGER
from queueworker_operator.target.objects import UNNAMED, Deployment

FIGHTS = 3  # one `kubectl scale` by hand is no rival
# Tools that apply what stands in Git do it each 30 minutes, or more often.
WITHIN_S = 4000.0
BACK_AT_LEAST_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rivalry:
    """When somebody overwrote the replicas that we had written; `manager` is who did all of them."""

    manager: str = ""
    fights_at_s: tuple[float, ...] = ()

    def seen(
        self, before: Deployment | None, after: Deployment, now_s: float, asked: int | None = None
    ) -> "Rivalry":
        """Take a new version of the Deployment; `asked` is what we wrote last, or are writing."""
        if before is None or before.uid != after.uid or before.writer != FIELD_MANAGER:
            return self
        if after.writer in (None, FIELD_MANAGER) or after.replicas == before.replicas:
            return self
        if after.writer == UNNAMED and after.replicas == asked:
            return self  # our own write, whose answer is still under way
        before_s = self.fights_at_s if after.writer == self.manager else ()
        return replace(self, manager=after.writer, fights_at_s=(*before_s, now_s)[-FIGHTS:])

    def rival(self, now_s: float) -> str | None:
        """Name the rival after a third fight in about an hour, for longer than it waits between two."""
        if len(self.fights_at_s) < FIGHTS:
            return None
        span_s = self.fights_at_s[-1] - self.fights_at_s[0]
        is_over = now_s - self.fights_at_s[-1] >= max(BACK_AT_LEAST_S, span_s)
        return None if span_s > WITHIN_S or is_over else self.manager
