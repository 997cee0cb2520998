"""Run a plan on a connection: inside its transaction if one is open, else all or none."""

import json
from collections.abc import Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    contextmanager,
    nullcontext,
)
from typing import Any

import psycopg
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg.rows import tuple_row

from queueworker.enqueue.carrying import all_carrying, carrying
from queueworker.enqueue.plan import CopyStep, Step, is_large, single, steps
from queueworker.enqueue.taken import check_async, check_sync
from queueworker.errors import DuplicateJob, EnqueueRefused, QueueWorkerError
from queueworker.job import Job
from queueworker.pooler import StatementCursor, WorkerConnection
from queueworker.statements import query
from queueworker.translation import translate, translate_enqueue

Ids = list[int | None]
FAILURES = (psycopg.Error, UnicodeEncodeError)


async def enqueue(conn: psycopg.AsyncConnection[Any], job: Job) -> int | None:
    """Enqueue one job; None when its key is taken and that job is kept."""
    check_async(conn)
    return await enqueue_with(cursor_of(conn), job)


def enqueue_sync(conn: psycopg.Connection[Any], job: Job) -> int | None:
    """Enqueue one job on a synchronous connection."""
    check_sync(conn)
    return enqueue_with_sync(cursor_of_sync(conn), job)


async def enqueue_with(cursor: psycopg.AsyncCursor[Any], job: Job) -> int | None:
    """Enqueue one job with a cursor of `cursor_of`; psycopg is quicker with one that it knows."""
    try:
        step = single(carrying(job))
        await cursor.execute(step.query, step.parameters)
        job_id: int | None = _only(await cursor.fetchone())
    except FAILURES as exc:  # `refusals` costs 8 us when it is called once
        raise refusal(exc) from exc
    return job_id


def enqueue_with_sync(cursor: psycopg.Cursor[Any], job: Job) -> int | None:
    """Enqueue one job with a cursor of `cursor_of_sync`."""
    try:
        step = single(carrying(job))
        cursor.execute(step.query, step.parameters)
        job_id: int | None = _only(cursor.fetchone())
    except FAILURES as exc:
        raise refusal(exc) from exc
    return job_id


async def enqueue_many(conn: psycopg.AsyncConnection[Any], jobs: Sequence[Job]) -> Ids:
    """Enqueue all jobs or none, in one round trip unless they are copied."""
    check_async(conn)
    ids: Ids = [None] * len(jobs)
    with refusals():
        jobs = all_carrying(jobs)
        plan = steps(jobs, may_copy=is_large(jobs) and await _may_copy(conn))
        block: AbstractAsyncContextManager[object] = nullcontext()
        if _is_to_wrap(conn, plan):
            block = conn.transaction()
        async with block:
            for step in plan:
                if isinstance(step, CopyStep):
                    _fill(ids, step, await _copy(conn, step))
            await _run_all(conn, [step for step in plan if isinstance(step, Step)], ids)
    return ids


def enqueue_many_sync(conn: psycopg.Connection[Any], jobs: Sequence[Job]) -> Ids:
    """Enqueue all jobs or none on a synchronous connection."""
    check_sync(conn)
    ids: Ids = [None] * len(jobs)
    with refusals():
        jobs = all_carrying(jobs)
        plan = steps(jobs, may_copy=is_large(jobs) and _may_copy_sync(conn))
        block: AbstractContextManager[object] = nullcontext()
        if _is_to_wrap(conn, plan):
            block = conn.transaction()
        with block:
            for step in plan:
                if isinstance(step, CopyStep):
                    _fill(ids, step, _copy_sync(conn, step))
            _run_all_sync(conn, [step for step in plan if isinstance(step, Step)], ids)
    return ids


@contextmanager
def refusals() -> Iterator[None]:
    """Raise this package's errors in place of psycopg's."""
    try:
        yield
    except FAILURES as exc:
        raise refusal(exc) from exc


def refusal(exc: psycopg.Error | UnicodeEncodeError) -> QueueWorkerError:
    """Find this package's error for psycopg's."""
    match exc:
        case psycopg.errors.UniqueViolation():
            return _duplicate(exc)
        case psycopg.Error():
            return translate_enqueue(exc)
        case _:
            return EnqueueRefused(
                "a name or key cannot be written in the connection's encoding; set"
                " client_encoding=UTF8"
            )


def _duplicate(exc: psycopg.errors.UniqueViolation) -> QueueWorkerError:
    if (exc.diag.schema_name, exc.diag.constraint_name) != ("queueworker", "job_unique_key"):
        return translate(exc)
    holder = json.loads(exc.diag.message_detail or "{}")
    return DuplicateJob(holder["queue"], holder["unique_key"], holder["job_id"])


# Not `conn.cursor()`: its class, say `RawCursor`, may not take these parameters.
def cursor_of(conn: psycopg.AsyncConnection[Any]) -> psycopg.AsyncCursor[Any]:
    """Make a cursor for statements that give one row."""
    kind = StatementCursor if _is_pooled_and_idle(conn) else psycopg.AsyncCursor
    cursor = kind(conn, row_factory=tuple_row)
    cursor.format = psycopg.pq.Format.BINARY
    return cursor


def cursor_of_sync(conn: psycopg.Connection[Any]) -> psycopg.Cursor[Any]:
    """Make a cursor for statements that give one row."""
    cursor = psycopg.Cursor(conn, row_factory=tuple_row)
    cursor.format = psycopg.pq.Format.BINARY
    return cursor


async def _run(conn: psycopg.AsyncConnection[Any], step: Step) -> Any:  # the ids
    cursor = await cursor_of(conn).execute(step.query, step.parameters)
    return _only(await cursor.fetchone())


def _run_sync(conn: psycopg.Connection[Any], step: Step) -> Any:  # the ids
    cursor = cursor_of_sync(conn).execute(step.query, step.parameters)
    return _only(cursor.fetchone())


async def _run_all(conn: psycopg.AsyncConnection[Any], plan: Sequence[Step], ids: Ids) -> None:
    if len(plan) == 1:
        _fill(ids, plan[0], await _run(conn, plan[0]))
    elif plan:
        async with conn.pipeline():
            cursors = []
            for step in plan:
                cursor = psycopg.AsyncCursor(conn, row_factory=tuple_row)
                cursors.append(await cursor.execute(step.query, step.parameters))
            for step, cursor in zip(plan, cursors, strict=True):
                _fill(ids, step, _only(await cursor.fetchone()))


def _run_all_sync(conn: psycopg.Connection[Any], plan: Sequence[Step], ids: Ids) -> None:
    if len(plan) == 1:
        _fill(ids, plan[0], _run_sync(conn, plan[0]))
    elif plan:
        with conn.pipeline():
            cursors = []
            for step in plan:
                cursor = psycopg.Cursor(conn, row_factory=tuple_row)
                cursors.append(cursor.execute(step.query, step.parameters))
            for step, cursor in zip(plan, cursors, strict=True):
                _fill(ids, step, _only(cursor.fetchone()))


async def _copy(conn: psycopg.AsyncConnection[Any], step: CopyStep) -> Sequence[int]:
    async with psycopg.AsyncCursor(conn, row_factory=tuple_row) as cursor:
        cursor.format = psycopg.pq.Format.BINARY
        await cursor.execute(query("reserve_positions"), step.reservation)
        *lane, positions = await cursor.fetchone() or ()
        async with cursor.copy(query("enqueue_copy")) as copy:
            for chunk in step.chunks(tuple(lane), positions):
                await copy.write(chunk)
        if step.needs_check:
            await cursor.execute(query("check_copied"), (lane[0], positions[0], positions[-1]))
    return [*positions]


def _copy_sync(conn: psycopg.Connection[Any], step: CopyStep) -> Sequence[int]:
    with psycopg.Cursor(conn, row_factory=tuple_row) as cursor:
        cursor.format = psycopg.pq.Format.BINARY
        cursor.execute(query("reserve_positions"), step.reservation)
        *lane, positions = cursor.fetchone() or ()
        with cursor.copy(query("enqueue_copy")) as copy:
            for chunk in step.chunks(tuple(lane), positions):
                copy.write(chunk)
        if step.needs_check:
            cursor.execute(query("check_copied"), (lane[0], positions[0], positions[-1]))
    return [*positions]


async def _may_copy(conn: psycopg.AsyncConnection[Any]) -> bool:
    if conn.pgconn.pipeline_status != PipelineStatus.OFF:
        return False  # there is no COPY in a pipeline
    async with psycopg.AsyncCursor(conn, row_factory=tuple_row) as cursor:
        await cursor.execute(query("may_copy"))
        return bool(_only(await cursor.fetchone()))


def _may_copy_sync(conn: psycopg.Connection[Any]) -> bool:
    if conn.pgconn.pipeline_status != PipelineStatus.OFF:
        return False
    with psycopg.Cursor(conn, row_factory=tuple_row) as cursor:
        cursor.execute(query("may_copy"))
        return bool(_only(cursor.fetchone()))


def _is_pooled_and_idle(conn: psycopg.AsyncConnection[Any]) -> bool:
    is_pooled = isinstance(conn, WorkerConnection) and conn.is_pooled
    return is_pooled and conn.info.transaction_status is TransactionStatus.IDLE


def _is_to_wrap(
    conn: psycopg.Connection[Any] | psycopg.AsyncConnection[Any], plan: Sequence[Step | CopyStep]
) -> bool:
    # One statement is all or none by itself. Without autocommit the first one opens the caller's
    # transaction, which only the caller may commit: a block of ours would commit at its end.
    is_one = len(plan) == 1 and isinstance(plan[0], Step)
    is_idle = conn.info.transaction_status is TransactionStatus.IDLE
    return conn.autocommit and is_idle and not is_one


def _fill(ids: Ids, step: Step | CopyStep, found: Any) -> None:  # the statement's own array
    for place, job_id in zip(step.places, found, strict=True):
        ids[place] = job_id


def _only(row: tuple[Any, ...] | None) -> Any:  # the column decides
    return None if row is None else row[0]
