"""What a worker asks of the database."""

from collections.abc import Callable, Collection, Sequence
from typing import Any
from uuid import UUID

import psycopg

from queueworker.errors import SchemaMissing
from queueworker.job import ClaimedJob, Transition, TransitionKind
from queueworker.statements import partition_statement, statement
from queueworker.store import completion
from queueworker.store.administration import Administration
from queueworker.store.open_claims import OpenClaims
from queueworker.store.rows import (
    NO_DELTA,
    ClaimRequest,
    LaneRow,
    QueueRow,
    Renewal,
    Settlement,
    StatDelta,
    SweptLane,
    WorkerLoad,
    WorkerRow,
)
from queueworker.store.session import bigints


class Store(Administration):
    """One connection's statements; not for use by two tasks at once.

    All stores of one worker share one `OpenClaims`.
    """

    def __init__(
        self, conn: psycopg.AsyncConnection[Any], open_claims: OpenClaims | None = None
    ) -> None:
        super().__init__(conn)
        self._open_claims = OpenClaims() if open_claims is None else open_claims

    async def schema_version(self) -> int:
        """Give the number of the last applied migration.

        Raises:
            SchemaMissing: there is none.
        """
        version = await self.fetch_value(statement("schema_version"), {})
        if version is None:
            raise SchemaMissing("the schema queueworker is empty; run: queueworker migrate")
        return int(version)

    async def register(self, worker: WorkerRow) -> None:
        """Start a worker's lease."""
        await self.fetch(
            statement("worker_register"),
            {
                "id": worker.id,
                "pod": worker.pod,
                "namespace": worker.namespace,
                "node": worker.node,
                "version": worker.version,
                "queues": list(worker.queues),
                "tasks": list(worker.tasks),
                "slots": worker.slots,
                "ttl_s": worker.ttl_s,
                "pod_uid": worker.pod_uid,
            },
        )

    async def renew(self, worker_id: UUID, ttl_s: float, load: WorkerLoad) -> Renewal:
        """Lengthen the lease and report the load; one that was ended cannot be renewed."""
        rows = await self.fetch(
            statement("worker_renew"),
            {
                "id": worker_id,
                "ttl_s": ttl_s,
                "slots": load.slots,
                "busy": load.busy,
                "held": load.held,
                "draining": load.draining,
                "oldest_start_age_s": load.oldest_start_age_s,
                "load_queues": list(load.busy_by_queue),
                "load_busy": list(load.busy_by_queue.values()),
                "load_held": [load.held_by_queue.get(name, 0) for name in load.busy_by_queue],
            },
        )
        return Renewal(alive=bool(rows), drain=bool(rows) and bool(rows[0][0]))

    async def deregister(self, worker_id: UUID) -> None:
        """End the lease; claims that are left over are rescued, those never seen uncharged."""
        parameters = {"id": worker_id, "seen": bigints(self._open_claims.tokens())}
        await self.fetch(statement("worker_deregister"), parameters)

    async def lanes(self, queue_id: int, tasks: Collection[str]) -> list[LaneRow]:
        """List the lanes of these tasks, higher priority first; none while the queue is paused."""
        parameters = {"queue_id": queue_id, "tasks": list(tasks)}
        return await self.rows_of(LaneRow, statement("lanes"), parameters)

    async def claim(self, request: ClaimRequest) -> list[ClaimedJob]:
        """Claim up to `limit` ready jobs under one new token, in the order to start them."""
        if not request.lanes or request.limit < 1:
            return []
        jobs = await self.tuples_of(
            ClaimedJob,
            partition_statement("claim", request.queue.part),
            {
                "queue_id": request.queue.id,
                "worker_id": request.worker_id,
                "most": request.limit,
                "lanes": [lane.id for lane in request.lanes],
                "priorities": [lane.priority for lane in request.lanes],
                "hints": list(request.hints),
                "started": request.limit if request.started is None else request.started,
            },
        )
        if jobs:
            self._open_claims.opened(jobs[0].token, len(jobs))
        return jobs

    async def mark_started(self, token: int, count: int) -> None:
        """Note that the first `count` jobs of a claim may start now: a crash charges only them."""
        await self.fetch(statement("claim_started"), {"token": token, "started": count})

    async def isolate(self, suspects: Sequence[ClaimedJob], started: int) -> int | None:
        """Put a claim's suspects into a claim of their own; of the others `started` may start.

        Gives the token of the new claim, None if the suspects are lost.
        """
        token = suspects[0].token
        parameters = {
            "suspects": bigints([job.id for job in suspects]),
            "started": started,
            "token": token,
        }
        new = await self.fetch_value(statement("claim_isolate"), parameters)
        self._open_claims.parted(token, new, len(suspects))
        return None if new is None else int(new)

    async def complete(
        self,
        queue: QueueRow,
        transitions: Sequence[Transition],
        delta: StatDelta = NO_DELTA,
    ) -> set[tuple[int, int]]:
        """Apply fenced transitions; give the (id, token) that were refused."""
        return await self.settle(queue, Settlement.of(transitions, delta))

    async def settle(
        self, queue: QueueRow, settlement: Settlement, *, is_repeat: bool = False
    ) -> set[tuple[int, int]]:
        """Delete what succeeded and apply the other transitions, each in one round trip at most.

        Claims that have nothing left are closed. A repeat, after an answer was lost, first asks
        what is still to be done. Gives the (id, token) that were refused.
        """
        tokens = [*settlement.tokens, *(item.token for item in settlement.others)]
        closed = self._open_claims.closing(tokens)
        if is_repeat:
            settlement = await completion.still_held(self, queue, settlement)
        refused = await self._write(queue, settlement, closed)
        self._open_claims.settled(tokens, closed)
        return refused

    async def count(
        self, queue: QueueRow, delta: StatDelta, entered: Callable[[str], None]
    ) -> None:
        """Write counts that go with no success; `entered` is told the transaction's id before."""
        await completion.count(self, queue, delta, entered)

    async def outcome(self, xid: str) -> str | None:
        """Tell whether a transaction is committed, aborted or in progress; None: long ago."""
        found = await self.fetch_value(statement("transaction_outcome"), {"xid": xid})
        return None if found is None else str(found)

    async def locked(self, queue: QueueRow, settlement: Settlement) -> set[tuple[int, int]]:
        """Give the (id, token) of a settlement whose rows another transaction holds now."""
        return await completion.locked(self, queue, settlement)

    async def release(self, queue: QueueRow, token: int, ids: Collection[int]) -> int:
        """Give jobs back uncharged; give how many were still this token's."""
        back = [Transition(job_id=i, token=token, kind=TransitionKind.RELEASE) for i in ids]
        return len(back) - len(await self.complete(queue, back))

    async def return_unseen(self, worker_id: UUID) -> int:
        """Give back, uncharged, what this worker claimed without learning of it; give how many.

        Only while no claim is under way: its answer would be taken for lost.
        """
        parameters = {"worker_id": worker_id, "seen": self._open_claims.tokens()}
        count = 0
        for token, queue, ids in await self.fetch(statement("claims_unseen"), parameters):
            count += await self._return(token, queue, ids)
        return count

    async def _return(self, token: int, queue: str, ids: Collection[int]) -> int:
        self._open_claims.opened(token, len(ids))
        try:
            return await self.release(await self.queue(queue), token, ids)
        except BaseException:
            # Still unseen: the next look finds what is left of it.
            self._open_claims.forget(token)
            raise

    async def sweep(self, queue_id: int, lane_ids: Collection[int]) -> list[SweptLane]:
        """Promote due jobs, raise floors, rescue, roll counters up; once a second per queue."""
        parameters = {"queue_id": queue_id, "lanes": list(lane_ids)}
        return await self.rows_of(SweptLane, statement("sweep"), parameters)

    async def promote_more(self, queue_id: int) -> int:
        """Promote the next batch of due jobs after a sweep whose batch was full; give how many."""
        return int(await self.fetch_value(statement("promote_more"), {"queue_id": queue_id}))

    async def rescue(self) -> int:
        """Give back the jobs of all workers whose lease is over; give how many."""
        return int(await self.fetch_value(statement("rescue"), {}))

    async def set_idle(self, queue_id: int, *, idle: bool) -> None:
        """Ask for a wake-up at the next enqueue, or withdraw that."""
        await self.fetch(statement("set_idle"), {"queue_id": queue_id, "idle": idle})

    async def _write(
        self, queue: QueueRow, settlement: Settlement, closed: Sequence[int]
    ) -> set[tuple[int, int]]:
        try:
            return await completion.settle(self, queue, settlement, closed)
        except SchemaMissing:
            # The table has gone: the queue was moved or removed since the worker learned of it.
            now = await self.queue(queue.name)
            if now.id == queue.id:
                raise
            return await completion.settle(self, now, settlement, closed)
