"""Who may write: one holder of a coordination Lease. The others keep their caches warm.

The times are client-go's: a lease lasts 15 s, is renewed every 2 s, and its holder stops writing
10 s after the start of its last successful renewal, by its own monotonic clock. The 5 s between
are longer than any write's deadline, so a late write ends before the next holder's first.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from queueworker_operator.errors import (
    AccessDenied,
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
    """How long a lease lasts, when its holder gives up, how often it is renewed."""

    lease_s: float = 15.0
    deadline_s: float = 10.0
    retry_s: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The record as it last changed, and when we saw it change (monotonic)."""

    record: tuple[object, ...] = ()
    at_s: float = 0.0


class Leader:
    """Holds the Lease, or waits for it to end.

    Args:
        client: The API server.
        namespace: Where the Lease lives.
        identity: Unique for this process.
        clock: Monotonic seconds.
        pace: The three times.
    """

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        identity: str,
        clock: Callable[[], float],
        pace: Pace | None = None,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._identity = identity
        self._clock = clock
        self._pace = pace or Pace()
        self._valid_until_s = float("-inf")
        self._seen = Seen()
        self.holder = ""

    def may_write(self) -> bool:
        """Tell whether this process is the holder now; ask right before each write."""
        return self._clock() < self._valid_until_s

    async def run(self) -> None:
        """Take and renew the Lease until cancelled."""
        while True:
            was_leader = self.may_write()
            await self._attempt()
            if self.may_write() != was_leader:
                logger.info("leader" if self.may_write() else "standby; holder is %s", *self._who())
            await asyncio.sleep(self._pace.retry_s)

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
            await api.write_lease(self._client, self._namespace, self._new_lease())
            return True
        spec = lease.get("spec") or {}
        self._watch(spec)
        if not self._is_free(spec):
            self._valid_until_s = float("-inf")
            return False
        lease["spec"] = self._next_spec(spec)
        await api.write_lease(self._client, self._namespace, lease)
        return True

    def _watch(self, spec: dict[str, Any]) -> None:
        """Note a change; a skewed clock of the holder's is of no account."""
        record = tuple(spec.get(field) for field in ("holderIdentity", "renewTime", "acquireTime"))
        if record != self._seen.record:
            self._seen = Seen(record=record, at_s=self._clock())
        self.holder = str(spec.get("holderIdentity") or "")

    def _is_free(self, spec: dict[str, Any]) -> bool:
        if self.holder in ("", self._identity):
            return True
        lasts_s = float(spec.get("leaseDurationSeconds") or self._pace.lease_s)
        return self._clock() - self._seen.at_s >= lasts_s

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
