"""Other operators at work on the same QueueWorkers, found by the statuses that they sign."""

from collections.abc import Callable, Mapping
from typing import Any

from queueworker_operator.kube.signature import signature, signed_at
from queueworker_operator.resource import Condition, ConditionReason, Trouble, key_of

Body = Mapping[str, Any]
AGAIN_S = 600.0


class Others:
    """Tells of another operator that writes while we look.

    What it wrote before may be of a release that is gone.

    Args:
        own: The namespace of our Lease.
        clock: Monotonic seconds.
        warn: Takes a QueueWorker's name and what to say.
    """

    def __init__(
        self, own: str, *, clock: Callable[[], float], warn: Callable[[str, Trouble], None]
    ) -> None:
        self.signature = signature(own)
        self._own = own
        self._clock = clock
        self._warn = warn
        self._seen: dict[str, dict[str, str]] = {}
        self._told_at_s: dict[str, float] = {}

    def saw(self, body: Body) -> None:
        """Take a QueueWorker's body; of each it is told once in ten minutes."""
        key, now = key_of(body), signed_at(body)
        before = self._seen.get(key, now)
        self._seen[key] = now
        others = sorted(name for name in now if now[name] != before.get(name) and name != self._own)
        now_s = self._clock()
        if not others or now_s - self._told_at_s.get(key, float("-inf")) < AGAIN_S:
            return
        self._told_at_s[key] = now_s
        self._warn(key, _second(others[0], self._own))

    def forget(self, body: Body) -> None:
        """Forget a deleted QueueWorker."""
        self._seen.pop(key_of(body), None)
        self._told_at_s.pop(key_of(body), None)


def _second(other: str, own: str) -> Trouble:
    return Trouble(
        condition=Condition.CONFLICTED,
        reason=ConditionReason.SECOND_OPERATOR,
        message=f"the operators of two namespaces, {other} and {own}, serve this QueueWorker, and both scale"
        f" its target: uninstall one of the two releases, or take this namespace out of its watchNamespaces",
    )
