"""A run is linked to the span in which its job was enqueued."""

import asyncio
import json
from typing import Any

import psycopg
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanContext
from tests.support.engine import engine

from queueworker import App, Job
from queueworker.carried import TRACEPARENT
from queueworker.enqueue import enqueue_many_sync, enqueue_sync
from queueworker.execute import Call, Executors
from queueworker.job import ClaimedJob, Succeeded

pytestmark = pytest.mark.postgres

app = App()
ran_with: list[dict[str, object]] = []


@app.task(queue="mail")
async def send(to: str = "") -> None:
    ran_with.append({"to": to})


@app.task(queue="mail")
async def any_arguments(**arguments: object) -> None:
    ran_with.append(arguments)


@app.task(queue="mail")
def in_a_thread(to: str = "") -> None:
    ran_with.append({"to": to})


def claimed(dsn: str, most: int = 10) -> list[ClaimedJob]:
    async def scene() -> list[ClaimedJob]:
        async with engine(dsn, queue="mail") as e:
            tasks = tuple(task.name for task in app.tasks)
            return await e.claim(await e.worker(tasks=tasks), most, tasks=tasks)

    return asyncio.run(scene())


def run_of(job: ClaimedJob, exporter: InMemorySpanExporter, task: str = "send") -> ReadableSpan:
    exporter.clear()
    outcome = asyncio.run(Executors().execute(Call(app.tasks.get(task), job, "mail")))
    assert isinstance(outcome, Succeeded), outcome
    (span,) = exporter.get_finished_spans()
    return span


def enqueued_in_a_span(dsn: str, *jobs: Job, sampled: bool = True) -> SpanContext:
    provider: Any = trace.get_tracer_provider()
    if not sampled:
        provider = type(provider)(sampler=ALWAYS_OFF)
    with (
        psycopg.connect(dsn) as conn,
        provider.get_tracer("shop").start_as_current_span("POST /orders") as span,
    ):
        if len(jobs) == 1:
            enqueue_sync(conn, *jobs)
        else:
            enqueue_many_sync(conn, jobs)
        context: SpanContext = span.get_span_context()
        return context


def linked(span: ReadableSpan) -> list[tuple[int, int]]:
    return [(link.context.trace_id, link.context.span_id) for link in span.links]


@pytest.mark.parametrize(
    "job",
    [
        send(to="ann@example.org"),
        send(to="ann@example.org").using(priority=3),
        send(to="ann@example.org").using(unique_key="order-7"),
        in_a_thread(to="ann@example.org"),
        any_arguments(to="ann@example.org"),
        Job(task="send", queue="mail", args={"to": "ann@example.org"}),
    ],
    ids=["plain", "priority", "keyed", "thread", "any arguments", "by hand"],
)
def test_a_run_is_linked_to_the_span_of_its_enqueue(
    dsn: str, exporter: InMemorySpanExporter, job: Job
) -> None:
    producer = enqueued_in_a_span(dsn, job)
    ran_with.clear()
    (row,) = claimed(dsn)
    run = run_of(row, exporter, job.task)

    assert linked(run) == [(producer.trace_id, producer.span_id)]
    assert run.parent is None
    assert run.context is not None
    assert run.context.trace_id != producer.trace_id
    assert ran_with == [{"to": "ann@example.org"}]


@pytest.mark.parametrize("count", [3, 5000], ids=["a batch", "a copy"])
def test_all_jobs_of_a_call_are_linked(
    dsn: str, exporter: InMemorySpanExporter, count: int
) -> None:
    producer = enqueued_in_a_span(dsn, *(send(to=str(number)) for number in range(count)))
    rows = claimed(dsn, most=3)

    runs = [run_of(row, exporter) for row in rows]
    assert [linked(run) for run in runs] == [[(producer.trace_id, producer.span_id)]] * 3


def test_a_job_without_arguments_carries_it_too(dsn: str, exporter: InMemorySpanExporter) -> None:
    producer = enqueued_in_a_span(dsn, send())

    assert linked(run_of(claimed(dsn)[0], exporter)) == [(producer.trace_id, producer.span_id)]


def test_a_job_of_no_span_or_of_one_that_nobody_collects_carries_nothing(
    dsn: str, exporter: InMemorySpanExporter
) -> None:
    with psycopg.connect(dsn) as conn:
        enqueue_sync(conn, send(to="ann"))
    enqueued_in_a_span(dsn, send(to="ann"), sampled=False)
    rows = claimed(dsn)

    assert [json.loads(row.args) for row in rows] == [{"to": "ann"}] * 2
    assert [linked(run_of(row, exporter)) for row in rows] == [[], []]


def test_a_producer_in_sql_may_give_its_span(dsn: str, exporter: InMemorySpanExporter) -> None:
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with psycopg.connect(dsn) as conn:
        conn.execute(
            "SELECT queueworker.enqueue('mail', 'send', %s)", [json.dumps({TRACEPARENT: given})]
        )

    run = run_of(claimed(dsn)[0], exporter)
    assert linked(run) == [(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331)]


@pytest.mark.parametrize("given", [5, None, [], "", "00-0-0-01", "x" * 9000])
def test_a_span_that_is_none_harms_no_run(
    dsn: str, exporter: InMemorySpanExporter, given: object
) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute(
            "SELECT queueworker.enqueue('mail', 'send', %s)",
            [json.dumps({"to": "ann", TRACEPARENT: given})],
        )

    assert linked(run_of(claimed(dsn)[0], exporter)) == []


def test_a_key_made_of_all_arguments_is_the_same_in_every_span(
    dsn: str, exporter: InMemorySpanExporter
) -> None:
    single = App()

    @single.task(name="send", queue="mail", unique=True)
    async def send_once(to: str) -> None:
        """Nobody runs it."""

    first = enqueued_in_a_span(dsn, send_once(to="ann"))
    enqueued_in_a_span(dsn, send_once(to="ann"))

    (row,) = claimed(dsn)
    assert linked(run_of(row, exporter)) == [(first.trace_id, first.span_id)]
