"""Another writer of `spec.replicas`: whoever overwrites us again and again. Pure."""

from dataclasses import dataclass, replace

from queueworker_operator.kube.api import FIELD_MANAGER
from queueworker_operator.target.objects import UNNAMED, Deployment

FIGHTS = 3  # one `kubectl scale` by hand is no rival
WITHIN_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rivalry:
    """When somebody overwrote the replicas that we had written, and who it was last."""

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
        recent = tuple(at_s for at_s in self.fights_at_s if now_s - at_s < WITHIN_S)
        return replace(self, manager=after.writer, fights_at_s=(*recent, now_s)[-FIGHTS:])

    def rival(self, now_s: float) -> str | None:
        """Name the rival while the last fights are recent."""
        recent = [at_s for at_s in self.fights_at_s if now_s - at_s < WITHIN_S]
        return self.manager if len(recent) >= FIGHTS else None
