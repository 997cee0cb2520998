"""Fenced writes: each takes place only for jobs whose token still matches."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import psycopg

from queueworker.errors import SchemaMissing, StaleToken
from queueworker.job import Transition, TransitionKind
from queueworker.statements import partition_statement, statement
from queueworker.store.rows import NO_DELTA, QueueRow, Settlement, StatDelta
from queueworker.store.session import Parameters, Session, bigints

Refused = set[tuple[int, int]]


async def settle(
    session: Session, queue: QueueRow, settlement: Settlement, closed: Sequence[int]
) -> Refused:
    """Write a settlement; give the (id, token) that was refused.

    Claims are closed by the last write: until then a rescue must find their jobs. While the queue
    moves, jobs that ran before end in the old table, first.
    """
    if queue.tail is not None:
        left, rest = settlement.split(await _running(session, queue.tail, settlement))
        refused = await settle(session, queue.tail, left, [])
        return refused | await settle(session, replace(queue, tail_id=None), rest, closed)
    others = [item for item in settlement.others if item.kind is not TransitionKind.SETTLED]
    refused = await _write_others(session, queue, others) if others else set()
    return refused | await _write_succeeded(session, queue, settlement, closed)


async def still_held(session: Session, queue: QueueRow, settlement: Settlement) -> Settlement:
    """Give the part whose jobs still carry their token: it has not been written."""
    found = await session.fetch(statement("claims_held"), _everywhere(queue, settlement))
    held, _ = settlement.split(set(found))
    # The counts are written with what succeeded, so they went the same way.
    return replace(held, delta=settlement.delta) if held.ids else held


async def count(
    session: Session, queue: QueueRow, delta: StatDelta, entered: Callable[[str], None]
) -> None:
    """Write counts that go with no success; `entered` is told the transaction's id before."""
    async with session.transaction():
        entered(await session.fetch_value(statement("transaction_id"), {}))
        await session.fetch(statement("count"), {"queue_id": queue.id, **_counts(delta)})


async def locked(session: Session, queue: QueueRow, settlement: Settlement) -> Refused:
    """Give the (id, token) whose rows another transaction holds now."""
    return set(await session.fetch(statement("claims_locked"), _everywhere(queue, settlement)))


def _everywhere(queue: QueueRow, settlement: Settlement) -> Parameters:
    ids = [queue.id] if queue.tail_id is None else [queue.id, queue.tail_id]
    return {"queue_ids": ids, **_pairs(settlement)}


async def _running(session: Session, tail: QueueRow, settlement: Settlement) -> Refused:
    # Its table may be gone: an error would abort the transaction of a handler that completes its job.
    return set(await session.fetch(statement("claims_held"), _everywhere(tail, settlement)))


def _pairs(settlement: Settlement) -> Parameters:
    others = settlement.others
    return {
        "ids": bigints([*settlement.ids, *(item.job_id for item in others)]),
        "tokens": bigints([*settlement.tokens, *(item.token for item in others)]),
    }


def _counts(delta: StatDelta) -> Parameters:
    return {
        "started": delta.started,
        "busy_s": delta.busy_s,
        "service_count": delta.service_count,
        "service_sum_s": delta.service_sum_s,
        "service_sq_sum_s2": delta.service_sq_sum_s2,
        "wait_buckets": list(delta.waits),
        "wait_counts": list(delta.waits.values()),
    }


async def _write_succeeded(
    session: Session, queue: QueueRow, settlement: Settlement, closed: Sequence[int]
) -> Refused:
    delta = settlement.delta
    if not (settlement.ids or closed or delta is not NO_DELTA):
        return set()
    name = "complete_retained" if queue.is_retained else "complete_succeeded"
    parameters = {
        "queue_id": queue.id,
        "count": len(settlement.ids),
        "ids": bigints(settlement.ids),
        "tokens": bigints(settlement.tokens),
        "closed": bigints(closed),
        **_counts(delta),
    }
    rows = await session.fetch(partition_statement(name, queue.part), parameters)
    return {(job_id, token) for job_id, token in rows}


async def _write_others(
    session: Session, queue: QueueRow, transitions: Sequence[Transition]
) -> Refused:
    parameters = {
        "queue_id": queue.id,
        "ids": bigints([item.job_id for item in transitions]),
        "tokens": bigints([item.token for item in transitions]),
        "kinds": [item.kind.value for item in transitions],
        "delays_s": [item.delay_s for item in transitions],
        "errors": [item.error for item in transitions],
        "failures": [item.failure.value if item.failure else "error" for item in transitions],
        "guards": [item.is_guard for item in transitions],
    }
    rows = await session.fetch(partition_statement("complete", queue.part), parameters)
    return {(job_id, token) for job_id, token in rows}


async def complete_in(
    conn: psycopg.AsyncConnection[Any], queue: QueueRow, job_id: int, token: int
) -> None:
    """Complete one job in the caller's transaction on `conn`: it counts if that commits.

    Raises:
        StaleToken: the job was claimed anew or given back; roll the transaction back.
    """
    success = Settlement(ids=[job_id], tokens=[token])
    stale = StaleToken(
        f"job {job_id} was given to another run; this transaction must be rolled back"
    )
    try:
        refused = await settle(Session(conn), queue, success, [])
    except SchemaMissing as exc:
        # A table is removed when no run of its jobs is left.
        raise stale from exc
    if refused:
        raise stale
