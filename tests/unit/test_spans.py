"""A run is a span of the application's own tracing."""

import asyncio

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from queueworker import App
from queueworker.execute import Call, Executors
from queueworker.job import ClaimedJob

app = App()


@app.task()
async def inner() -> None:
    with trace.get_tracer("application").start_as_current_span("query"):
        pass


@app.task()
def in_a_thread() -> None:
    with trace.get_tracer("application").start_as_current_span("query"):
        pass


@app.task()
async def fail() -> None:
    raise LookupError("x")


def spans_of(task: str, exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    exporter.clear()
    job = ClaimedJob(
        token=3,
        id=7,
        lane=1,
        pos=1,
        attempt=2,
        max_attempts=5,
        crash_count=0,
        timeout_s=None,
        run_at_wait_s=0.0,
        args="{}",
    )
    asyncio.run(Executors().execute(Call(app.tasks.get(task), job, "mail")))
    return {span.name: span for span in exporter.get_finished_spans()}


@pytest.mark.parametrize("task", ["inner", "in_a_thread"])
def test_a_handlers_own_spans_are_children_of_its_run(
    task: str, exporter: InMemorySpanExporter
) -> None:
    spans = spans_of(task, exporter)
    run, query = spans[task], spans["query"]

    assert run.kind is SpanKind.CONSUMER
    assert query.parent is not None
    assert run.context is not None
    assert query.parent.span_id == run.context.span_id
    assert run.attributes is not None
    assert run.attributes["messaging.destination.name"] == "mail"
    assert run.attributes["messaging.message.id"] == "7"
    assert run.attributes["queueworker.attempt"] == 2
    assert run.attributes["queueworker.outcome"] == "succeeded"


def test_the_span_of_a_failed_run_is_an_error(exporter: InMemorySpanExporter) -> None:
    run = spans_of("fail", exporter)["fail"]

    assert run.status.status_code is StatusCode.ERROR
    assert run.attributes is not None
    assert run.attributes["queueworker.outcome"] == "failed"
