"""Writes statuses: on a change at once, under a token bucket.

Where numbers alone moved: the one written longest ago first, under a bucket of their own.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from queueworker_operator.decision.model import Reason
from queueworker_operator.errors import ObjectMissing, OperatorError
from queueworker_operator.handlers.bucket import Bucket
from queueworker_operator.handlers.events import EventWriter, utc_now
from queueworker_operator.handlers.roster import Member, Roster
from queueworker_operator.kube import Client, api
from queueworker_operator.report import Fact, Report
from queueworker_operator.resource import (
    WARNINGS,
    Facts,
    Trouble,
    same_story,
    status_of,
)
from queueworker_operator.target.cache import ClusterCache

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.2
WARN_AGAIN_S = 300.0
# Numbers that moved are so old at most while the bucket lasts: with ten QueueWorkers that move, or fewer.
FRESH_S = 10.0
RETRY_S = 2.0
AT_ONCE = 8
CHANGES_PER_S, CHANGES_AT_ONCE = 10.0, 50.0
# The first status of a QueueWorker: thousands that come at once are told within minutes.
FIRSTS_PER_S, FIRSTS_AT_ONCE = 50.0, 50.0
# Statuses whose numbers alone moved: so many writes, and so many looks at each turn.
REFRESHES_PER_S, REFRESHES_AT_ONCE, LOOKS = 1.0, 5.0, 20


@dataclass(slots=True)
class Story:
    """What is known about one QueueWorker (of this `uid`), and what of it is written."""

    uid: str = ""
    report: Report | None = None
    generation: int = 0
    troubles: tuple[Trouble, ...] = ()
    written: dict[str, Any] | None = None
    written_at_s: float = field(default=float("-inf"))
    failed_at_s: float = field(default=float("-inf"))
    stale: bool = True
    warned: dict[Reason, float] = field(default_factory=dict)


class StatusWriter:
    """The `Reporter` of a cluster. Only the leader writes; a standby just listens.

    Args:
        client: The API server.
        roster: The QueueWorkers, for what their status says now.
        cache: The Deployments, for their selectors.
        may_write: Whether this process is the leader.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        client: Client,
        roster: Roster,
        cache: ClusterCache,
        *,
        may_write: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._roster = roster
        self._cache = cache
        self._may_write = may_write
        self._clock = clock
        self._changes = Bucket(clock, rate_per_s=CHANGES_PER_S, burst=CHANGES_AT_ONCE)
        self._firsts = Bucket(clock, rate_per_s=FIRSTS_PER_S, burst=FIRSTS_AT_ONCE)
        self._refreshes = Bucket(clock, rate_per_s=REFRESHES_PER_S, burst=REFRESHES_AT_ONCE)
        self._stories: dict[str, Story] = {}
        self._events = EventWriter(client, roster, may_write=may_write, clock=clock)
        self._changed = asyncio.Event()
        self._led = False
        self.on_access_refused: Callable[[str], None] = lambda _: None
        self.signature = api.FIELD_MANAGER

    async def report(self, key: str, report: Report) -> None:
        """Take one tick's report; write soon if it says something new."""
        story = self._stories.setdefault(key, Story())
        story.report = report
        if report.changed or report.written is not None:
            story.stale = True
            self._changed.set()
        if report.written is not None or self._begins_to_warn(story, report):
            self._events.tell_decision(key, report)
        if Fact.ACCESS_REFUSED in report.facts:
            self.on_access_refused(key)

    def tell(self, key: str, generation: int, troubles: tuple[Trouble, ...]) -> None:
        """Take what keeps a QueueWorker's spec of `generation` from being acted upon."""
        member = self._roster.get(key)
        uid = "" if member is None else member.uid
        story = self._stories.get(key)
        if story is None or story.uid != uid:  # new, or made anew under its name: nothing written
            story = self._stories[key] = Story(uid=uid)
        if (story.generation, story.troubles) == (generation, troubles):
            return
        if troubles and story.troubles != troubles:
            story.report = None  # no loop speaks for it now
            self._events.tell_conflict(key, troubles)
        story.generation, story.troubles = generation, troubles
        story.stale = True
        self._changed.set()

    def warn(self, key: str, trouble: Trouble) -> None:
        """Log a conflict and publish it as an event, though it keeps nobody from acting."""
        if self._may_write():
            logger.warning("%s: %s", key, trouble.message)
            self._events.tell_conflict(key, (trouble,))

    def retain(self, keys: Collection[str]) -> None:
        """Forget all QueueWorkers but `keys`."""
        self._stories = {key: self._stories[key] for key in keys if key in self._stories}

    async def run(self) -> None:
        """Write what is due until cancelled; events that are slow to be taken keep no status waiting."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._events.run())
            while True:
                try:
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._changed.wait()
                except TimeoutError:
                    pass
                self._changed.clear()
                await self._write_due()

    async def _write_due(self) -> None:
        if not self._may_write():
            self._led = False
            return
        if not self._led:
            self._begin()
        now_s = self._clock()
        due = [key for key, story in self._stories.items() if _is_due(story, now_s)]
        due.sort(key=lambda key: self._stories[key].written_at_s)
        stale = [key for key in due if self._stories[key].stale]
        for first in range(0, len(stale), AT_ONCE):
            if self._firsts.is_empty and self._changes.is_empty:
                break
            some = stale[first : first + AT_ONCE]
            await asyncio.gather(*(self._write(key, self._bucket_of(key)) for key in some))
        old = [key for key in due if key in self._stories and not self._stories[key].stale]
        for key in old[:LOOKS]:
            await self._write(key, self._refreshes)

    def _begin(self) -> None:
        """Lead, perhaps again: what stands in the statuses was written by others meanwhile."""
        self._led = True
        for story in self._stories.values():
            story.written, story.stale = None, True

    def _bucket_of(self, key: str) -> Bucket:
        story, member = self._stories.get(key), self._roster.get(key)
        is_first = story and story.written is None and not (member and member.status)
        return self._firsts if is_first else self._changes

    async def _write(self, key: str, bucket: Bucket) -> None:
        story, member = self._stories.get(key), self._roster.get(key)
        if story is None or member is None or not self._may_write() or bucket.is_empty:
            return
        if story.written is None and member.status:
            story.written = dict(member.status)  # by whoever was the operator before
        status, now_s = status_of(self._facts(story, member), story.written or {}), self._clock()
        story.stale = False
        if not self._has_news(story, status, now_s) or not bucket.take():
            return
        try:
            namespace, _, name = key.partition("/")
            await api.patch_status(self._client, (namespace, name), status, self.signature)
        except ObjectMissing:
            return
        except OperatorError as exc:
            logger.warning("the status of %s is not written: %s", key, exc)
            story.stale, story.failed_at_s = True, now_s
            return
        story.written, story.written_at_s = status, now_s

    def _has_news(self, story: Story, status: Mapping[str, Any], now_s: float) -> bool:
        """Tell whether a status is worth a write; one that just grew old is, but not many."""
        if story.written is None or not same_story(status, story.written):
            return True
        if now_s - story.written_at_s < FRESH_S:
            return False
        if status == story.written:
            story.written_at_s = now_s
            return False
        return True

    def _facts(self, story: Story, member: Member) -> Facts:
        deployment = None
        if member.spec is not None:
            deployment = self._cache.deployment(member.spec.namespace, member.spec.target_name)
        return Facts(
            generation=member.generation if story.report is None else story.report.generation,
            now=utc_now(),
            report=story.report,
            selector=deployment.selector if deployment else None,
            troubles=story.troubles,
        )

    def _begins_to_warn(self, story: Story, report: Report) -> bool:
        """Tell whether a reason to worry is new, or was told long ago."""
        reason = None if report.decision is None else report.decision.reason
        if not report.changed or reason not in WARNINGS or Fact.WAITING in report.facts:
            return False
        before_s, now_s = story.warned.get(reason, float("-inf")), self._clock()
        if now_s - before_s < WARN_AGAIN_S:
            return False
        story.warned[reason] = now_s
        return True


def _is_due(story: Story, now_s: float) -> bool:
    if now_s - story.failed_at_s < RETRY_S or (story.report is None and not story.troubles):
        return False
    return story.stale or now_s - story.written_at_s >= FRESH_S
