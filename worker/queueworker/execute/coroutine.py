"""Async handlers: in the event loop, stopped by cancellation."""

import asyncio
from collections.abc import Awaitable
from typing import cast

from queueworker.errors import InvalidCall
from queueworker.execute.call import Call, failure, invalid_arguments
from queueworker.job import Cancelled, Outcome, TimedOut


async def execute(call: Call) -> Outcome:
    """Await the handler until its timeout."""
    timeout_s = call.job.timeout_s
    if timeout_s is None:
        return await _run(call)
    async with asyncio.timeout(timeout_s) as limit:
        # A timeout cancels this task: `_run` sees that as a cancellation and gives it as outcome.
        outcome = await _run(call)
    return TimedOut(timeout_s=timeout_s) if limit.expired() else outcome


async def _run(call: Call) -> Outcome:
    try:
        await cast("Awaitable[object]", call.invoke(call.arguments()))
    except InvalidCall as exc:
        return invalid_arguments(exc)
    except asyncio.CancelledError:
        return Cancelled()
    except BaseException as exc:  # noqa: BLE001 - sys.exit() in a handler must not end the worker
        return failure(exc)
    return call.success()
