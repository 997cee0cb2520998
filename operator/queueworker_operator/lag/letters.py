"""Dead letters, for people; the operator itself only counts them."""

from collections.abc import Sequence
from dataclasses import dataclass

from queueworker_operator.lag.connection import Database
from queueworker_operator.settings import DatabaseSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One job that is out of attempts, without its arguments."""

    id: int
    queue: str
    task: str
    kind: str
    error: str
    attempt: int
    crashes: int
    age_s: float


async def dead_letters(dsn: str, queues: Sequence[str], most: int) -> list[DeadLetter]:
    """Read the newest of `queues`.

    Raises:
        LagUnavailable: the database does not answer, or (GrantMissing) does not show them.
    """
    database = Database(dsn, DatabaseSettings())
    try:
        found = await database.fetch("dead_letters", {"queues": list(queues), "most": most})
    finally:
        await database.close()
    return [DeadLetter(**row) for row in found]
