"""What is run, and how what happened becomes an outcome."""

from collections.abc import AsyncGenerator, Awaitable, Coroutine, Generator, Mapping
from json.decoder import JSONDecoder
from json.scanner import make_scanner
from typing import NamedTuple

from queueworker.carried import TRACEPARENT, without_traceparent
from queueworker.context import Context
from queueworker.errors import Discard, InvalidCall, RetryAfter
from queueworker.execute.trace import place, traceback_text
from queueworker.job import (
    SUCCEEDED,
    ClaimedJob,
    Discarded,
    Failed,
    FailureKind,
    Outcome,
    RetryLater,
    Settled,
)
from queueworker.redaction import shortened
from queueworker.task import Task

# What a function returns in place of its work, when an `await` or an `async` was forgotten.
NOT_RUN = (Awaitable, Generator, AsyncGenerator)
MOST_ERROR_CHARACTERS = 2000
MOST_PLACE_CHARACTERS = 200
# What `json.loads` comes to for a text without leading space, in a tenth of its time.
_decode = make_scanner(JSONDecoder())  # type: ignore[arg-type]  # typeshed wants its own kind


class Call(NamedTuple):
    """One run of a task: the job as claimed, and the context that its handler asks for."""

    task: Task[..., object]
    job: ClaimedJob
    queue: str
    context: Context | None = None

    def arguments(self) -> Mapping[str, object]:
        """Read the payload and check it against the task's signature.

        Raises:
            InvalidCall: it is not an object, or does not fit.
        """
        try:
            payload, _ = _decode(self.job.args, 0)
        except StopIteration:
            raise InvalidCall(f"task {self.task.name!r}: the payload is not JSON") from None
        except (ValueError, RecursionError) as exc:
            raise InvalidCall(f"task {self.task.name!r}: the payload is not JSON: {exc}") from None
        if not isinstance(payload, dict):
            raise InvalidCall(f"task {self.task.name!r}: the payload is not an object")
        # The usual case needs no copy.
        if self.task.fits(payload):
            return payload
        return self.task.bind(**without_traceparent(payload))

    @property
    def traceparent(self) -> str | None:
        """Give the span of whoever enqueued the job, unchecked; None when it carries none."""
        if f'"{TRACEPARENT}"' not in self.job.args:
            return None
        try:
            payload, _ = _decode(self.job.args, 0)
        except (StopIteration, ValueError, RecursionError):
            return None  # the run itself will say so
        carried = payload.get(TRACEPARENT) if isinstance(payload, dict) else None
        return carried if isinstance(carried, str) else None

    def awaited(self, arguments: Mapping[str, object]) -> Awaitable[object]:
        """Call an async function."""
        return self.invoke(arguments)  # type: ignore[return-value]  # the task's executor says so

    def invoke(self, arguments: Mapping[str, object]) -> object:
        """Call the function; gives a coroutine for an async one."""
        if self.context is not None:
            return self.task.function(self.context, **arguments)
        return self.task.function(**arguments)

    def success(self, result: object) -> Outcome:
        """Give the outcome of a handler that returned `result`: nothing that has yet to run."""
        if result is not None and isinstance(result, NOT_RUN):
            return _not_run(result)
        return Settled() if self.context is not None and self.context.is_settled else SUCCEEDED


def _not_run(result: object) -> Outcome:
    if isinstance(result, Coroutine):
        result.close()  # else Python complains at a later time that nobody awaited it
    return Failed(
        error=f"the handler returned a {type(result).__name__} that nobody runs;"
        " write 'async def' and await it, or use no yield"
    )


def failure(exc: BaseException) -> Outcome:
    """Give the outcome of a handler that raised."""
    match exc:
        case RetryAfter():
            return RetryLater(delay_s=exc.delay_s, reason=_text(exc))
        case Discard():
            return Discarded(reason=describe(exc))
        case _:
            return Failed(error=located(exc), traceback=traceback_text(exc))


def invalid_arguments(exc: InvalidCall) -> Outcome:
    """Give the outcome of a payload that does not fit its task."""
    return Failed(error=_text(exc), kind=FailureKind.INVALID_ARGS)


def located(exc: BaseException) -> str:
    """Name an error and the line that raised it."""
    where = place(exc)
    if not where:
        return describe(exc)
    where = f" ({where})"[:MOST_PLACE_CHARACTERS]
    return describe(exc)[: MOST_ERROR_CHARACTERS - len(where)] + where


def describe(exc: BaseException) -> str:
    """Name an error in one text; even one that cannot be printed."""
    name, text = type(exc).__name__, _text(exc)
    return f"{name}: {text}"[:MOST_ERROR_CHARACTERS] if text else name


def _text(exc: BaseException) -> str:
    try:
        return shortened(str(exc), MOST_ERROR_CHARACTERS)
    except BaseException:  # noqa: BLE001 - a user's __str__ may raise anything
        return "(its message cannot be shown)"
