"""What a statement costs: its plan and its buffers, by EXPLAIN ANALYZE before the real call."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from psycopg import sql

from queueworker.compat import override
from queueworker.statements import Query
from queueworker.store import Store

PLACEHOLDER = re.compile(r"%\((\w+)\)s")
# Of the transaction alone: scans inside functions are counted here too.
SCANS = """
SELECT coalesce(sum(seq_scan), 0)::int FROM pg_stat_xact_user_tables
WHERE schemaname = 'queueworker' AND relname LIKE 'job\\_%'
"""

Row = TypeVar("Row")
TupleRow = TypeVar("TupleRow", bound=tuple[Any, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One statement's generic plan, as it ran; `job_scans` counts scans of a whole job table."""

    root: Mapping[str, Any]
    job_scans: int

    @property
    def buffers(self) -> int:
        return int(self.root["Shared Hit Blocks"] + self.root["Shared Read Blocks"])

    def nodes(self) -> Iterator[Mapping[str, Any]]:
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            waiting.extend(node.get("Plans", ()))
            yield node

    def indexes(self) -> set[str]:
        return {node["Index Name"] for node in self.nodes() if "Index Name" in node}

    def most_sorted(self) -> int:
        """Give the rows that the largest sort took in."""
        sorts = [node for node in self.nodes() if "Sort" in node["Node Type"]]
        return max((int(node["Plans"][0]["Actual Rows"]) for node in sorts), default=0)

    def scanned(self) -> set[str]:
        """Give the tables that were read from end to end."""
        return {node["Relation Name"] for node in self.nodes() if node["Node Type"] == "Seq Scan"}


@dataclass(slots=True)
class Plans:
    """The plans of one call, in the order of its statements."""

    seen: list[Plan] = field(default_factory=list)


class Rehearsal(Store):
    """A store that explains each statement, undoes it, and then runs it."""

    plans: Plans

    @override
    async def rows_of(
        self, kind: type[Row], query: Query, parameters: Mapping[str, object]
    ) -> list[Row]:
        await self._explain(query, parameters)
        return await super().rows_of(kind, query, parameters)

    @override
    async def tuples_of(
        self, kind: type[TupleRow], query: Query, parameters: Mapping[str, object]
    ) -> list[TupleRow]:
        await self._explain(query, parameters)
        return await super().tuples_of(kind, query, parameters)

    @override
    async def fetch(self, query: Query, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
        await self._explain(query, parameters)
        return await super().fetch(query, parameters)

    async def _explain(self, query: Query, parameters: Mapping[str, object]) -> None:
        names: list[str] = []

        def numbered(match: re.Match[str]) -> str:
            if match[1] not in names:
                names.append(match[1])
            return f"${names.index(match[1]) + 1}"

        text = PLACEHOLDER.sub(numbered, query.as_string(self._conn))
        values = sql.SQL(", ").join(sql.Literal(parameters[name]) for name in names)
        run = (
            sql.SQL("EXECUTE rehearsed ({})").format(values)
            if names
            else sql.SQL("EXECUTE rehearsed")
        )
        async with self._conn.transaction(force_rollback=True):
            await self._conn.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            await self._conn.execute(f"PREPARE rehearsed AS {text}".encode())
            explain = sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {}").format(run)
            (found,) = await (await self._conn.execute(explain)).fetchone() or ([],)
            (scans,) = await (await self._conn.execute(SCANS)).fetchone() or (0,)
            await self._conn.execute("DEALLOCATE rehearsed")
        self.plans.seen.append(Plan(root=found[0]["Plan"], job_scans=scans))
