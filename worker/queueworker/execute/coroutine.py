"""Async handlers: in the event loop, in the caller's task, stopped by cancellation."""

import asyncio

from queueworker.errors import InvalidCall
from queueworker.execute.call import Call, failure, invalid_arguments
from queueworker.execute.deadline import Deadlines
from queueworker.job import Cancelled, Outcome, TimedOut


async def execute(call: Call, deadlines: Deadlines, task: asyncio.Task[None]) -> Outcome:
    """Await the handler in `task`, which is the running one, until its timeout."""
    timeout_s = call.job.timeout_s
    if timeout_s is not None:
        deadlines.begin(task, timeout_s)
    outcome: Outcome
    try:
        outcome = call.success(await call.awaited(call.arguments()))
    except InvalidCall as exc:
        outcome = invalid_arguments(exc)
    except asyncio.CancelledError:
        outcome = Cancelled()
    except BaseException as exc:  # noqa: BLE001 - sys.exit() in a handler must not end the worker
        outcome = failure(exc)
    if timeout_s is not None and deadlines.end(task):
        # A handler that swallows its cancellation is late all the same.
        return TimedOut(timeout_s=timeout_s)
    return outcome
