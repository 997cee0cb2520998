"""The workload that is scaled: a Deployment, or local processes. One protocol for both."""

from collections.abc import Collection
from typing import Protocol

from queueworker_operator.decision.model import PodId, Replicas


class Target(Protocol):
    """Read from caches, write only on change. A worker's row names its pod."""

    def read(self) -> Replicas | None:
        """Give the target as the caches know it; None when it does not exist (or is not synced)."""

    def stamp(self) -> object:
        """Give a value that is equal to an earlier one while `read` and `take_gone` tell no news."""

    def pods(self) -> Collection[PodId]:
        """Name the live pods (not terminating), registered or not."""

    def all_pods(self) -> Collection[PodId]:
        """Name the pods whose worker may live: `pods`, and those that are terminating."""

    def take_gone(self) -> tuple[PodId, ...]:
        """Name the pods that died or vanished since the last call: their leases may be ended."""

    def grace_s(self) -> float:
        """Give the seconds between SIGTERM and SIGKILL of one pod."""

    async def look(self) -> None:
        """Look at the pods afresh: `pods` and `read` may have missed some until now.

        Raises:
            TargetUnavailable: that failed; pods may be there that nobody was told of.
        """

    async def scale(self, desired: int) -> None:
        """Ask for `desired` replicas, only if it still has what `read` showed.

        Raises:
            TargetConflict: somebody else changed it meanwhile: read again, decide again.
            TargetUnavailable: the write did not happen; the message says what to do.
        """

    async def prefer(
        self, victims: Collection[str], leaving: Collection[str] = ()
    ) -> Collection[str]:
        """Mark the pods that the next smaller `scale` should end first (deletion cost).

        Gives the victims that are marked: for each other one, a pod at work might go instead. Pods
        that are `leaving`, for which the target was scaled in already, stay marked.

        Raises:
            TargetUnavailable: none could be marked; the message says what to do.
        """
