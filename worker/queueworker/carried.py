"""The span of whoever enqueued a job, carried to its run among the job's arguments.

Its key is no name that a parameter can have, so no argument is in its way. A job that is enqueued
without a span that is collected carries nothing and costs nothing.
"""

import sys
from collections.abc import Mapping

# The value is a W3C `traceparent`; whoever enqueues by SQL may give one, too.
TRACEPARENT = "$traceparent"


def current_traceparent() -> str | None:
    """Give the span that runs here; None where there is none, or nobody will collect it."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None  # whoever has a span has imported it
    context = trace.get_current_span().get_span_context()
    if not (context.is_valid and context.trace_flags.sampled):
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def with_traceparent(args_json: str, traceparent: str) -> str:
    """Add the span to the JSON text of an object; one that is there already stays."""
    rest = args_json[1:] if args_json == "{}" else f",{args_json[1:]}"
    return f'{{"{TRACEPARENT}":"{traceparent}"{rest}'


def without_traceparent(payload: Mapping[str, object]) -> Mapping[str, object]:
    """Give the arguments alone."""
    return {name: value for name, value in payload.items() if name != TRACEPARENT}
