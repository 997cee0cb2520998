"""What the command line asks of the database: retention, lag; queues and dead letters apart."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from queueworker.statements import statement
from queueworker.store.cancellation import Cancellation
from queueworker.store.dead import DeadLetters
from queueworker.store.lag import LagRow, WorkerStateRow
from queueworker.store.queues import Queues
from queueworker.store.rows import Retention, Upkeep


class Administration(Queues, Cancellation, DeadLetters):
    """Rare statements; none of them stands in a worker's hot path."""

    async def queue_retain(self, name: str, retention: Retention) -> bool:
        """Set how long a queue keeps what; give whether it exists."""
        parameters = {
            "queue": name,
            "finished_s": retention.finished_s,
            "dead_s": retention.dead_s,
            "failures_s": retention.failures_s,
        }
        return bool(await self.fetch_value(statement("queue_retain"), parameters))

    async def maintain(self, *, at_once: bool = False) -> Upkeep | None:
        """Make partitions ahead and remove what is too old; None when it is not due."""
        rows = await self.rows_of(Upkeep, statement("maintain"), {"at_once": at_once})
        return rows[0] if rows else None

    async def lag(self, queues: Sequence[str]) -> list[LagRow]:
        """Read the lag of the queues that exist."""
        rows = await self.rows_of(LagRow, statement("lag"), {"queues": list(queues)})
        return [replace(row, ready_by_task=_decoded(row.ready_by_task)) for row in rows]

    async def worker_state(self, queues: Sequence[str]) -> list[WorkerStateRow]:
        """List the live workers of these queues."""
        return await self.rows_of(
            WorkerStateRow, statement("worker_state"), {"queues": list(queues)}
        )


def _decoded(value: Mapping[str, int] | bytes) -> Mapping[str, int]:
    # A worker's connection leaves jsonb as bytes; a plain one decodes it.
    return json.loads(value) if isinstance(value, bytes) else value
