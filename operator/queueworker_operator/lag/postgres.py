"""Lag from Postgres: one connection for queries, one for wake-ups, for any number of queues."""

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from queueworker_operator.decision.model import PodId
from queueworker_operator.errors import LagUnavailable
from queueworker_operator.lag import Lags, QueueLag, Wake, WorkerState, rows
from queueworker_operator.lag.bounded import Row
from queueworker_operator.lag.connection import Database
from queueworker_operator.lag.listen import Listener
from queueworker_operator.lag.together import Together
from queueworker_operator.settings import DatabaseSettings

# One record is some kilobytes and a millisecond: so many stay far below the time a call has.
MOST_TOGETHER = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedDecision:
    """One entry of a name's history; `at_s` is the database's clock (epoch seconds)."""

    id: int
    at_s: float
    record: Mapping[str, Any]


class PostgresLag:
    """The `LagSource` of one DSN. `listen_dsn` goes around a pooler that cannot LISTEN.

    Connects when first used, and again after a loss. `close` ends both connections.
    """

    def __init__(
        self,
        dsn: str,
        listen_dsn: str | None = None,
        settings: DatabaseSettings | None = None,
    ) -> None:
        settings = settings or DatabaseSettings()
        self._database = Database(dsn, settings)
        self._watched: frozenset[str] = frozenset()
        self._rows: dict[str, Row] = {}
        self._lags: dict[str, QueueLag] = {}
        self._revision = 0
        self._listener = Listener(listen_dsn or dsn, settings, self._database.is_up, self._grade)
        self._listening: asyncio.Task[None] | None = None
        self._loads = Together(self._load, most=MOST_TOGETHER)
        self._decisions = Together(self._record, most=MOST_TOGETHER)
        self._minutes = Together(self._record_minutes, most=MOST_TOGETHER)

    async def read(self, queues: Sequence[str]) -> Mapping[str, QueueLag]:
        """Read all `queues`, each row with the time of the read.

        Raises:
            LagUnavailable: the database does not answer, or a row cannot be true.
        """
        lags = await self.look(queues)
        for refusal in lags.refused.values():
            raise refusal
        return {queue: lags.of(queue) for queue in lags.rows}

    async def look(self, queues: Sequence[str]) -> Lags:
        """Read all `queues` in one query; a row that cannot be true is the loss of its queue alone."""
        self._watched = frozenset(queues)
        found = await self._database.fetch("queue_lag", {"queues": list(queues)})
        at_s = max((rows.amount("the database", "at_s", row["at_s"]) for row in found), default=0.0)
        lags: dict[str, QueueLag] = {}
        refused: dict[str, LagUnavailable] = {}
        for row in found:
            try:
                lags[row["queue"]] = self._lag(row)
            except LagUnavailable as exc:
                refused[row["queue"]] = exc
        self._lags = lags
        self._rows = {row["queue"]: row for row in found if row["queue"] in lags}
        return Lags(at_s, lags, refused)

    async def workers(self, queues: Sequence[str]) -> Sequence[WorkerState]:
        """List the live workers of `queues`."""
        found = await self._database.fetch("worker_state", {"queues": list(queues)})
        return tuple(rows.worker_state(row) for row in found)

    async def set_drain(
        self, worker_ids: Collection[str], *, drain: bool, for_s: float | None = None
    ) -> None:
        """Tell workers to stop claiming, for so long or until it is undone, or to claim again."""
        values = {"worker_ids": list(worker_ids), "drain": drain, "for_s": for_s}
        await self._database.fetch("set_drain", values)

    async def end_lease(self, pods: Collection[PodId], *, shared: bool) -> int:
        """End the leases of dead pods (see `pods.is_of`); give how many jobs went back to ready."""
        unplaced = () if shared else tuple(replace(pod, namespace="") for pod in pods)
        gone = (*pods, *unplaced)
        values = {
            "pods": [pod.name for pod in gone],
            "namespaces": [pod.namespace for pod in gone],
            "uids": [pod.uid for pod in gone],
        }
        [row] = await self._database.fetch("end_lease", values)
        return int(row["released"])

    async def tend(self, queues: Collection[str]) -> None:
        """Sweep `queues`, which no worker sweeps, and rescue the jobs of dead workers."""
        await self._database.fetch("sweep", {"queues": list(queues)})

    async def maintain(self) -> bool:
        """Make and remove partitions, remove what is too old; tell whether there is more to do."""
        found = await self._database.fetch("maintain", {})
        return any(row["has_more"] for row in found)

    async def wait(self, timeout_s: float, *, above: Wake = Wake.NONE) -> Wake:
        """Return at a wake-up that matters more than `above`, at the latest after `timeout_s`."""
        if self._listening is None:
            self._listening = asyncio.create_task(self._listener.run(), name="queueworker-listen")
        return await self._listener.wait(timeout_s, above)

    async def save_states(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        """Store controllers' states by name (one row a name), all in one query."""
        records = [to_json(state) for state in states.values()]
        await self._database.fetch("save_states", {"names": list(states), "states": records})

    async def load_state(self, name: str) -> Mapping[str, Any] | None:
        """Read back what `save_states` stored; None when there is none."""
        return await self._loads.ask(name)

    async def _load(self, names: Sequence[str]) -> list[Mapping[str, Any] | None]:
        states = [
            row["state"]
            for row in await self._database.fetch("load_states", {"names": list(names)})
        ]
        return [state if isinstance(state, dict) else None for state in states]

    async def record_decision(self, name: str, record: Mapping[str, Any]) -> None:
        """Append to the bounded history of decisions (200 changes and 100 others a name)."""
        await self._decisions.ask((name, to_json(record)))

    async def _record(self, decisions: Sequence[tuple[str, str]]) -> Sequence[Row]:
        names, records = map(list, zip(*decisions, strict=True))
        return await self._database.fetch("record_decisions", {"names": names, "records": records})

    async def decisions(self, name: str, most: int) -> list[RecordedDecision]:
        """List the last `most` decisions of `name`, newest first."""
        found = await self._database.fetch("decisions", {"name": name, "most": most})
        return [RecordedDecision(**row) for row in found]

    async def record_minute(self, name: str, minute_s: float, record: Mapping[str, Any]) -> None:
        """Keep one minute of a DryRun, for seven days; the same minute again replaces it."""
        await self._minutes.ask((name, minute_s, to_json(record)))

    async def _record_minutes(self, minutes: Sequence[tuple[str, float, str]]) -> Sequence[Row]:
        names, minutes_s, records = map(list, zip(*minutes, strict=True))
        values = {"names": names, "minutes_s": minutes_s, "records": records}
        return await self._database.fetch("record_minutes", values)

    async def dry_run_minutes(self, name: str, since_s: float) -> list[Mapping[str, Any]]:
        """List the minutes that are kept of a DryRun since then (epoch seconds), oldest first."""
        values = {"name": name, "since_s": since_s}
        return [row["record"] for row in await self._database.fetch("dry_run_minutes", values)]

    async def close(self) -> None:
        """Stop listening and close both connections."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
            self._listening = None
        for together in (self._loads, self._decisions, self._minutes):
            await together.close()
        await self._database.close()

    def _lag(self, row: Row) -> QueueLag:
        """Check a row; one that says what it said at the last read was checked then."""
        known = self._rows.get(row["queue"])
        if known is not None and {**known, "at_s": row["at_s"]} == row:
            return self._lags[row["queue"]]
        self._revision += 1
        return replace(rows.queue_lag(row), revision=self._revision)

    def _grade(self, queue: str) -> Wake:
        """Tell how much news of a queue matters: a worker that sleeps there takes a job itself."""
        if queue not in self._watched:
            return Wake.NONE
        lag = self._lags.get(queue)
        return Wake.ROUTINE if lag is not None and lag.workers else Wake.URGENT


def to_json(value: Mapping[str, Any]) -> str:
    """Write JSON that Postgres takes: NaN and infinity are refused, not written.

    Raises:
        LagUnavailable: `value` holds a number or an object that JSON has no form for.
    """
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as exc:
        raise LagUnavailable(f"a record cannot be stored: {exc}") from exc
