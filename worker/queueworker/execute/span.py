"""A span for each run, where the application has set tracing up (extra `trace`).

It is linked to the span that was current at the enqueue, and is the root of a trace of its own: a
run may come hours later, and more than once. Names and attributes follow OpenTelemetry's conventions for messaging. The spans go where the
application's tracer provider sends them; a handler's own spans become their children.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from queueworker.execute.call import Call
from queueworker.job import Outcome, Settled, Succeeded

Note = Callable[[Outcome], None]


def is_tracing() -> bool:
    """Tell whether somebody collects spans: the API alone makes none and costs as much."""
    if find_spec("opentelemetry") is None:
        return False
    from opentelemetry import trace  # noqa: PLC0415 - an optional dependency

    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


@contextmanager
def run_span(call: Call) -> Iterator[Note]:
    """Open the span of a run; the value takes its outcome."""
    from opentelemetry import trace  # noqa: PLC0415 - an optional dependency

    attributes: dict[str, str | int] = {
        "messaging.system": "queueworker",
        "messaging.operation.name": "process",
        "messaging.destination.name": call.queue,
        "messaging.message.id": str(call.job.id),
        "queueworker.task": call.task.name,
        "queueworker.attempt": call.job.attempt,
    }
    tracer = trace.get_tracer("queueworker")
    kind = trace.SpanKind.CONSUMER
    links = list(_links(call.traceparent))
    with tracer.start_as_current_span(
        call.task.name, kind=kind, attributes=attributes, links=links
    ) as span:

        def note(outcome: Outcome) -> None:
            span.set_attribute("queueworker.outcome", type(outcome).__name__.lower())
            if not isinstance(outcome, Succeeded | Settled):
                span.set_status(trace.StatusCode.ERROR)

        yield note


def _links(traceparent: str | None) -> Iterator[Any]:
    """Link to a W3C `traceparent`; one that is none is left out."""
    if traceparent is None:
        return
    from opentelemetry import trace  # noqa: PLC0415 - an optional dependency
    from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415

    carrier = {"traceparent": traceparent}
    found = tracecontext.TraceContextTextMapPropagator().extract(carrier)
    context = trace.get_current_span(found).get_span_context()
    if context.is_valid:
        yield trace.Link(context)
