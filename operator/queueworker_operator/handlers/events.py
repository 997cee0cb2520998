"""Publishes Kubernetes Events in the order in which they were told: the leader's, and fresh ones."""

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from queueworker_operator.errors import OperatorError
from queueworker_operator.handlers.bucket import Bucket
from queueworker_operator.handlers.roster import Roster
from queueworker_operator.kube import Client, api
from queueworker_operator.report import Report
from queueworker_operator.resource import Condition, Trouble, decision_event, trouble_event

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.2
MOST_EVENTS = 1000
EVENTS_PER_S, EVENTS_AT_ONCE = 10.0, 50.0
# An event that could not be published for so long (a standby's, above all) tells of the past.
EVENT_LASTS_S = 60.0


class EventWriter:
    """Keeps what is to be told of QueueWorkers until it is published; bounded, the newest stay.

    Args:
        client: The API server.
        roster: The QueueWorkers that events are about.
        may_write: Whether this process is the leader.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        client: Client,
        roster: Roster,
        *,
        may_write: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._roster = roster
        self._may_write = may_write
        self._clock = clock
        self._bucket = Bucket(clock, rate_per_s=EVENTS_PER_S, burst=EVENTS_AT_ONCE)
        self._events: deque[tuple[float, str, dict[str, Any]]] = deque(maxlen=MOST_EVENTS)

    def tell_decision(self, key: str, report: Report) -> None:
        """Take a change of replicas, or a reason to worry."""
        member = self._roster.get(key)
        if member is not None and member.spec is not None and report.decision is not None:
            event = decision_event(member.spec, report.decision, utc_now(), _suffix())
            self._tell(member.spec.namespace, event)

    def tell_conflict(self, key: str, troubles: tuple[Trouble, ...]) -> None:
        """Take for whom the operator stands back."""
        member = self._roster.get(key)
        for trouble in troubles:
            if trouble.condition is Condition.CONFLICTED and member and member.spec:
                event = trouble_event(member.spec, trouble, utc_now(), _suffix())
                self._tell(member.spec.namespace, event)

    def _tell(self, namespace: str, event: dict[str, Any]) -> None:
        self._events.append((self._clock(), namespace, event))

    async def run(self) -> None:
        """Publish what is told until cancelled."""
        while True:
            await self.publish()
            await asyncio.sleep(LOOK_EVERY_S)

    async def publish(self) -> None:
        """Publish what is fresh, while this process leads; what the API server refuses is lost.

        A few at a time: thousands that have something to tell leave the API server to others.
        """
        while self._events and self._may_write():
            told_at_s, namespace, event = self._events[0]
            is_fresh = self._clock() - told_at_s <= EVENT_LASTS_S
            if is_fresh and not self._bucket.take():
                return
            self._events.popleft()
            if not is_fresh:
                continue
            try:
                await api.create_event(self._client, namespace, event)
            except OperatorError as exc:
                logger.warning("an event is lost: %s", exc)


def utc_now() -> str:
    """Give the time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _suffix() -> str:
    return uuid.uuid4().hex[:16]
