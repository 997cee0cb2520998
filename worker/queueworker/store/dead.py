"""Dead letters: find, show, retry, purge."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from uuid import UUID

from queueworker.statements import statement
from queueworker.store.session import Session

FIRST = (datetime(1970, 1, 1, tzinfo=UTC), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which dead letters; None does not narrow. `error` is a part of its text, in any case."""

    queue: str | None = None
    task: str | None = None
    kind: str | None = None
    error: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadJob:
    """One dead letter with its last error; `args` is JSON."""

    id: int
    queue: str
    task: str
    priority: int
    attempt: int
    max_attempts: int
    crash_count: int
    kind: str
    error: str
    created_at: datetime
    died_at: datetime
    died_age_s: float
    unique_key: str | None
    args: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownJob:
    """One job in any state; `args` is JSON."""

    id: int
    queue: str
    task: str
    priority: int
    state: str
    attempt: int
    max_attempts: int
    crash_count: int
    created_at: datetime
    run_at: datetime
    finished_at: datetime | None
    unique_key: str | None
    pod: str | None
    error: str | None
    args: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failed attempt; `pod` is None where the worker's name was forgotten."""

    attempt: int
    kind: str
    error: str
    failed_at: datetime
    worker_id: UUID | None
    pod: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadCount:
    """How many dead letters one task has for one kind of failure."""

    task: str
    kind: str
    jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyConflict:
    """A dead letter that cannot come back: another job has its unique key."""

    id: int
    unique_key: str
    taken_by: int


class DeadLetters(Session):
    """Statements about dead letters; the changing ones need the owner's rights."""

    async def now(self) -> datetime:
        """Read the database's clock."""
        value: datetime = await self.fetch_value(statement("database_now"), {})
        return value

    async def dead_list(self, selection: Selection, most: int = 100) -> list[DeadJob]:
        """List the newest dead letters of a selection."""
        return await self.rows_of(
            DeadJob, statement("dead_list"), {**asdict(selection), "most": most}
        )

    async def dead_count(self, selection: Selection) -> list[DeadCount]:
        """Count a selection of one queue, by task and kind."""
        return await self.rows_of(DeadCount, statement("dead_count"), asdict(selection))

    async def dead_pages(self, selection: Selection, most: int) -> AsyncIterator[list[int]]:
        """Walk the ids of a selection of one queue, the longest dead first, so many at a time."""
        after_at, after_id = FIRST
        parameters = {**asdict(selection), "most": most}
        while True:
            position: Mapping[str, object] = {"after_at": after_at, "after_id": after_id}
            rows = await self.fetch(statement("dead_page"), {**parameters, **position})
            if not rows:
                return
            yield [job_id for job_id, _ in rows]
            after_id, after_at = rows[-1]

    async def dead_find(self, ids: Sequence[int]) -> dict[int, str]:
        """Give the queues of those of these jobs that are dead letters."""
        rows = await self.fetch(statement("dead_find"), {"ids": list(ids)})
        return dict(rows)

    async def dead_retry(self, queue: str, ids: Sequence[int] | None = None) -> int:
        """Make dead letters ready again with all their attempts (None: all); give how many."""
        return int(await self.fetch_value(statement("dead_retry"), {"queue": queue, "ids": ids}))

    async def dead_conflicts(self, ids: Sequence[int]) -> list[KeyConflict]:
        """List those that stayed dead because their unique key is taken."""
        return await self.rows_of(KeyConflict, statement("dead_conflicts"), {"ids": list(ids)})

    async def dead_purge(self, queue: str, ids: Sequence[int] | None = None) -> int:
        """Delete dead letters and their errors (None: all); give how many."""
        return int(await self.fetch_value(statement("dead_purge"), {"queue": queue, "ids": ids}))

    async def job_show(self, job_id: int) -> ShownJob | None:
        """Find a job, whatever its state."""
        rows = await self.rows_of(ShownJob, statement("job_show"), {"id": job_id})
        return rows[0] if rows else None

    async def job_failures(self, job_id: int) -> list[Failure]:
        """List a job's failed attempts in their order."""
        return await self.rows_of(Failure, statement("job_failures"), {"id": job_id})
