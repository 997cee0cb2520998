"""A span for each run, where the extra `trace` is installed; nothing otherwise.

Names and attributes follow OpenTelemetry's conventions for messaging. The spans go where the
application's tracer provider sends them; a handler's own spans become their children.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec

from queueworker.execute.call import Call
from queueworker.job import Outcome, Settled, Succeeded

Note = Callable[[Outcome], None]
IS_TRACED = find_spec("opentelemetry") is not None


def _ignore(_: Outcome) -> None:
    """Take an outcome that nobody asked for."""


_UNTRACED: AbstractContextManager[Note] = nullcontext(_ignore)


@contextmanager
def _traced(call: Call) -> Iterator[Note]:
    from opentelemetry import trace  # noqa: PLC0415 - an optional dependency

    attributes: dict[str, str | int] = {
        "messaging.system": "queueworker",
        "messaging.operation.name": "process",
        "messaging.destination.name": call.context.queue,
        "messaging.message.id": str(call.job.id),
        "queueworker.task": call.task.name,
        "queueworker.attempt": call.job.attempt,
    }
    tracer = trace.get_tracer("queueworker")
    kind = trace.SpanKind.CONSUMER
    with tracer.start_as_current_span(call.task.name, kind=kind, attributes=attributes) as span:

        def note(outcome: Outcome) -> None:
            span.set_attribute("queueworker.outcome", type(outcome).__name__.lower())
            if not isinstance(outcome, Succeeded | Settled):
                span.set_status(trace.StatusCode.ERROR)

        yield note


def run_span(call: Call) -> AbstractContextManager[Note]:
    """Open the span of a run; the value takes its outcome."""
    return _traced(call) if IS_TRACED else _UNTRACED
