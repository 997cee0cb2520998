"""Fenced writes: each takes place only for jobs whose token still matches."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import psycopg

from queueworker.errors import StaleToken
from queueworker.job import Transition, TransitionKind
from queueworker.statements import partition_statement, statement
from queueworker.store.rows import QueueRow, StatDelta
from queueworker.store.session import Parameters, Session

Refused = set[tuple[int, int]]


async def write(
    session: Session,
    queue: QueueRow,
    transitions: Sequence[Transition],
    delta: StatDelta,
    closed: Sequence[int],
) -> Refused:
    """Apply all transitions in one statement; give the (id, token) that it refused.

    While the queue moves, jobs that ran before end in the old table, and before the claims
    are closed.
    """
    if queue.tail is not None and transitions:
        left = await _running(session, queue.tail, transitions)
        late = [item for item in transitions if (item.job_id, item.token) in left]
        refused = await write(session, queue.tail, late, StatDelta(), []) if late else set()
        rest = [item for item in transitions if (item.job_id, item.token) not in left]
        return refused | await write(session, replace(queue, tail_id=None), rest, delta, closed)
    only_successes = all(item.kind is TransitionKind.SUCCEED for item in transitions)
    if queue.is_retained and not only_successes:
        return await _write_apart(session, queue, transitions, delta, closed)
    succeeded = "complete_retained" if queue.is_retained else "complete_succeeded"
    name = succeeded if only_successes else "complete"
    query = partition_statement(name, queue.part)
    rows = await session.fetch(query, completion_parameters(queue, transitions, delta, closed))
    return {(job_id, token) for job_id, token in rows}


async def _write_apart(
    session: Session,
    queue: QueueRow,
    transitions: Sequence[Transition],
    delta: StatDelta,
    closed: Sequence[int],
) -> Refused:
    """Keep what has succeeded by a statement of its own, after the rest."""
    kept = [item for item in transitions if item.kind is TransitionKind.SUCCEED]
    rest = [item for item in transitions if item.kind is not TransitionKind.SUCCEED]
    # The statement of every queue; claims are closed by the last write.
    refused = await write(session, replace(queue, is_retained=False), rest, StatDelta(), [])
    return refused | await write(session, queue, kept, delta, closed)


async def still_held(
    session: Session, queue: QueueRow, transitions: Sequence[Transition]
) -> list[Transition]:
    """Give the transitions whose jobs still carry their token: they have not been applied."""
    parameters = {
        "queue_ids": [queue.id, *([] if queue.tail_id is None else [queue.tail_id])],
        "ids": [item.job_id for item in transitions],
        "tokens": [item.token for item in transitions],
    }
    held = set(await session.fetch(statement("claims_held"), parameters))
    return [item for item in transitions if (item.job_id, item.token) in held]


async def _running(
    session: Session, queue: QueueRow, transitions: Sequence[Transition]
) -> set[tuple[int, int]]:
    parameters = {
        "ids": [item.job_id for item in transitions],
        "tokens": [item.token for item in transitions],
    }
    return set(await session.fetch(partition_statement("running", queue.part), parameters))


def completion_parameters(
    queue: QueueRow,
    transitions: Sequence[Transition],
    delta: StatDelta,
    closed: Sequence[int],
) -> Parameters:
    """Lay transitions out as parallel arrays, and the worker's own counts beside them."""
    return {
        "queue_id": queue.id,
        "ids": [item.job_id for item in transitions],
        "tokens": [item.token for item in transitions],
        "kinds": [item.kind.value for item in transitions],
        "delays_s": [item.delay_s for item in transitions],
        "errors": [item.error for item in transitions],
        "failures": [item.failure.value if item.failure else "error" for item in transitions],
        "closed": list(closed),
        "started": delta.started,
        "busy_s": delta.busy_s,
        "service_count": delta.service_count,
        "service_sum_s": delta.service_sum_s,
        "service_sq_sum_s2": delta.service_sq_sum_s2,
        "wait_buckets": list(delta.waits),
        "wait_counts": list(delta.waits.values()),
    }


async def complete_in(
    conn: psycopg.AsyncConnection[Any], queue: QueueRow, job_id: int, token: int
) -> None:
    """Complete one job in the caller's transaction on `conn`: it counts if that commits.

    Raises:
        StaleToken: the job was claimed anew or given back; roll the transaction back.
    """
    success = Transition(job_id=job_id, token=token, kind=TransitionKind.SUCCEED)
    refused = await write(Session(conn), queue, [success], StatDelta(), [])
    if refused:
        raise StaleToken(
            f"job {job_id} was given to another run; this transaction must be rolled back"
        )
