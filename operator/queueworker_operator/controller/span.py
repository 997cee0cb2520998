"""A span for each decision that changed something, where somebody collects spans (extra `trace`).

It lasts from the reading of the queues to the answer of the target. The operator sets up no tracing
itself: start it by `opentelemetry-instrument`, which does.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

NS_PER_S = 1_000_000_000


def is_tracing() -> bool:
    """Tell whether somebody collects spans: the API alone makes none."""
    if find_spec("opentelemetry") is None:
        return False
    from opentelemetry import trace  # noqa: PLC0415 - an optional dependency

    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def tell_span(facts: Mapping[str, Any], began_at_s: float, ended_at_s: float) -> None:
    """Give a decision's facts to the tracer; times in seconds since the epoch."""
    from opentelemetry import trace  # noqa: PLC0415 - an optional dependency

    attributes = {
        f"queueworker.{name}": value
        for name, value in facts.items()
        if isinstance(value, str | bool | int | float)
    }
    span = trace.get_tracer("queueworker_operator").start_span(
        "decide", start_time=int(began_at_s * NS_PER_S), attributes=attributes
    )
    span.end(int(ended_at_s * NS_PER_S))
