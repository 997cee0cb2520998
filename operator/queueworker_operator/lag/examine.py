"""What a person who looks for faults asks of a database, each part by itself: some may be refused."""

from collections.abc import Sequence
from dataclasses import dataclass

from queueworker_operator.lag.connection import Database
from queueworker_operator.settings import DatabaseSettings

SCHEMA_VERSION = 21
FUNCTIONS = (
    "queue_lag",
    "worker_state",
    "decisions",
    "set_drain",
    "drain_for",
    "end_lease",
    "sweep",
    "rescue",
    "save_state",
    "load_state",
    "record_decision",
    "record_minute",
    "dry_run_minutes",
    "maintain",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The server and the session. `at_s` is its clock; None is what this role may not see."""

    role: str
    version: str
    major: int
    standby: bool
    superuser: bool
    encrypted: bool
    at_s: float
    max_connections: int
    connections: int
    transaction_id_age: int
    oldest_transaction_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """Functions of FUNCTIONS that are not there, and that the role may not call."""

    missing: tuple[str, ...]
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table, as the statistics see it."""

    name: str
    live: int
    dead: int
    size_bytes: int


class Examiner:
    """One database. Every call raises `LagUnavailable` when it gets no usable answer."""

    def __init__(self, dsn: str) -> None:
        self._database = Database(dsn, DatabaseSettings())

    async def server(self) -> Server:
        """Describe the server."""
        [row] = await self._database.fetch("examine_server", {})
        return Server(**row)

    async def rights(self) -> Rights:
        """Look which functions the role may call."""
        [row] = await self._database.fetch("examine_rights", {"functions": list(FUNCTIONS)})
        return Rights(missing=tuple(row["missing"] or ()), refused=tuple(row["refused"] or ()))

    async def schema_version(self) -> int:
        """Give the number of the last migration; 0 without any."""
        [row] = await self._database.fetch("examine_schema", {})
        return int(row["version"] or 0)

    async def missing_indexes(self) -> Sequence[str]:
        """Name tables of jobs that lack an index."""
        found = await self._database.fetch("examine_indexes", {})
        return tuple(f"{row['part']} ({row['columns']})" for row in found)

    async def tables(self) -> Sequence[Table]:
        """List the tables with the most dead rows."""
        return tuple(Table(**row) for row in await self._database.fetch("examine_tables", {}))

    async def close(self) -> None:
        """Close the connection."""
        await self._database.close()
