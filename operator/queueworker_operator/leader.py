"""Who may write: one holder of a coordination Lease. The others keep their caches warm.

The times are client-go's: a lease lasts 15 s, is renewed every 2 s, and its holder stops writing
10 s after the start of its last successful renewal, by its own monotonic clock. The 5 s between
are longer than any write's deadline, so a late write ends before the next holder's first.

The Lease is read from the store itself, and so often that its version also tells when that was
restored: a version never goes back otherwise, and one that does makes the operator begin anew.

A standby looks each 0.5 s, and when the lease is over: it follows a dead holder after 15.5 s at
most. A container that was restarted follows itself at once: its pod runs one at a time.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from queueworker_operator.errors import (
    AccessDenied,
    ClusterRestored,
    ClusterUnavailable,
    ObjectChanged,
    ObjectMissing,
    OperatorError,
)
from queueworker_operator.kube import Client, api

logger = logging.getLogger(__name__)

LEASE_NAME = "queueworker-operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long a lease lasts, when its holder gives up, how often it is renewed and looked at."""

    lease_s: float = 15.0
    deadline_s: float = 10.0
    retry_s: float = 2.0
    look_s: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The record as it last changed, when we saw it change (monotonic), how long it holds."""

    record: tuple[object, ...] = ()
    at_s: float = 0.0
    lasts_s: float = 0.0


class Leader:
    """Holds the Lease, or waits for it to end.

    Args:
        client: The API server.
        namespace: Where the Lease lives.
        identity: Unique for this process: the name of its pod or host, `_`, and what no other has.
        clock: Monotonic seconds.
        pace: The times.
        pod: The pod's name, if it is known to run one such process at a time.
    """

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        identity: str,
        clock: Callable[[], float],
        pace: Pace | None = None,
        pod: str | None = None,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._identity = identity
        self._clock = clock
        self._pace = pace or Pace()
        self._pod = pod
        self._valid_until_s = float("-inf")
        self._seen = Seen()
        self._version = 0
        self.holder = ""

    def may_write(self) -> bool:
        """Tell whether this process is the holder now; ask right before each write."""
        return self._clock() < self._valid_until_s

    async def run(self) -> None:
        """Take and renew the Lease until cancelled.

        Raises:
            ClusterRestored: the Lease is older than it was.
        """
        while True:
            was_leader = self.may_write()
            await self._attempt()
            if self.may_write() != was_leader:
                logger.info("leader" if self.may_write() else "standby; holder is %s", *self._who())
            await asyncio.sleep(self._pause_s())

    def _pause_s(self) -> float:
        """Renew every `retry_s`; a standby looks more often, and once more when the lease ends."""
        if self.may_write():
            return self._pace.retry_s
        left_s = self._seen.at_s + self._seen.lasts_s - self._clock()
        return min(self._pace.look_s, left_s) if left_s > 0 else self._pace.look_s

    async def release(self) -> None:
        """Give the Lease back: a standby takes it within its next retry."""
        if not self.may_write():
            return
        self._valid_until_s = float("-inf")
        try:
            lease = await api.get_lease(self._client, self._namespace, LEASE_NAME)
            if lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                await api.write_lease(self._client, self._namespace, lease)
        except OperatorError as exc:
            logger.warning("the lease is not released, it ends by itself: %s", exc)

    def _who(self) -> tuple[str, ...]:
        return () if self.may_write() else (self.holder or "nobody",)

    async def _attempt(self) -> None:
        started_s = self._clock()
        try:
            if await self._take_or_renew():
                self._valid_until_s = started_s + self._pace.deadline_s
                self.holder = self._identity
        except ObjectChanged:
            logger.debug("another operator was faster")
        except ClusterUnavailable as exc:
            logger.warning("the lease is not renewed: %s", exc)
        except (AccessDenied, ObjectMissing) as exc:
            logger.error("the lease cannot be held: %s", exc)  # noqa: TRY400 one line is enough

    async def _take_or_renew(self) -> bool:
        try:
            lease = await api.get_lease(self._client, self._namespace, LEASE_NAME)
        except ObjectMissing:
            new = self._new_lease()
            self._note_version(await api.write_lease(self._client, self._namespace, new))
            return True
        self._note_version(lease)
        spec = lease.get("spec") or {}
        self._watch(spec)
        if not self._is_free():
            self._valid_until_s = float("-inf")
            return False
        lease["spec"] = self._next_spec(spec)
        self._note_version(await api.write_lease(self._client, self._namespace, lease))
        return True

    def _note_version(self, lease: dict[str, Any]) -> None:
        version = api.version_of(lease)
        if version < self._version:
            raise ClusterRestored(
                f"the version of lease {self._namespace}/{LEASE_NAME} went back from"
                f" {self._version} to {version}: the cluster's etcd was restored; begin anew"
            )
        self._version = version

    def _watch(self, spec: dict[str, Any]) -> None:
        """Note a change; a skewed clock of the holder's is of no account."""
        record = tuple(spec.get(field) for field in ("holderIdentity", "renewTime", "acquireTime"))
        if record != self._seen.record:
            lasts_s = float(spec.get("leaseDurationSeconds") or self._pace.lease_s)
            self._seen = Seen(record=record, at_s=self._clock(), lasts_s=lasts_s)
        self.holder = str(spec.get("holderIdentity") or "")

    def _is_free(self) -> bool:
        if self.holder in ("", self._identity) or self._was_here():
            return True
        return self._clock() - self._seen.at_s >= self._seen.lasts_s

    def _was_here(self) -> bool:
        """Tell whether the holder was this pod's container before: it ended before we began."""
        return self._pod is not None and self.holder.rpartition("_")[0] == self._pod

    def _next_spec(self, spec: dict[str, Any]) -> dict[str, Any]:
        mine = spec.get("holderIdentity") == self._identity
        now = _micro_time()
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": round(self._pace.lease_s),
            "acquireTime": spec.get("acquireTime") if mine else now,
            "renewTime": now,
            "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (0 if mine else 1),
        }

    def _new_lease(self) -> dict[str, Any]:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": LEASE_NAME, "namespace": self._namespace},
            "spec": self._next_spec({}),
        }


def _micro_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
