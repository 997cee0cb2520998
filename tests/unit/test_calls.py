"""What a handler does becomes an outcome; nothing escapes."""

import asyncio
import json
import re
import time

import pytest

from queueworker import App, Context, Discard, RetryAfter
from queueworker.compat import override
from queueworker.execute import Call, Executors
from queueworker.execute.frames import (
    ForeignAnswer,
    call_frame,
    outcome_frame,
    read_call,
    read_outcome,
)
from queueworker.job import (
    Cancelled,
    ClaimedJob,
    Discarded,
    Failed,
    FailureKind,
    Outcome,
    RetryLater,
    Succeeded,
    TimedOut,
)
from queueworker.tally import Tally

app = App()


class Unprintable(Exception):
    @override
    def __str__(self) -> str:
        raise ValueError("no")


RAISED: dict[str, BaseException] = {
    "lookup": LookupError("x"),
    "exit": SystemExit(1),
    "interrupt": KeyboardInterrupt(),
    "unprintable": Unprintable(),
    "own_timeout": TimeoutError("theirs"),
}


@app.task()
async def raising(kind: str) -> None:
    raise RAISED[kind]


@app.task()
def thread_raising(kind: str) -> None:
    raise RAISED[kind]


@app.task()
async def read_letter() -> None:
    json.loads("{")  # the standard library raises


@app.task()
async def greet(ctx: Context, name: str = "you") -> None:
    assert (ctx.idempotency_key, bool(name)) == ("7", True)


@app.task()
async def later() -> None:
    raise RetryAfter(3.0, "busy")


@app.task()
async def discard() -> None:
    raise Discard("useless")


@app.task()
async def cancel_itself() -> None:
    raise asyncio.CancelledError


@app.task()
async def swallow() -> None:
    try:
        await asyncio.sleep(5)
    except asyncio.CancelledError:
        return


def call(task: str, args: str = "{}", timeout_s: float | None = None) -> Call:
    job = ClaimedJob(
        token=3,
        id=7,
        lane=1,
        pos=1,
        attempt=2,
        max_attempts=5,
        crash_count=0,
        timeout_s=timeout_s,
        run_at_wait_s=0.0,
        args=args,
    )
    found = app.tasks.get(task)
    context = Context(job, queue="q", task=task) if found.wants_context else None
    return Call(found, job, "q", context)


def outcome_of(task: str, args: str = "{}", timeout_s: float | None = None) -> Outcome:
    return asyncio.run(Executors().execute(call(task, args, timeout_s)))


@pytest.mark.parametrize("task", ["raising", "thread_raising"])
@pytest.mark.parametrize("kind", RAISED)
def test_whatever_is_raised_is_a_failure(task: str, kind: str) -> None:
    outcome = outcome_of(task, f'{{"kind": "{kind}"}}')

    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.ERROR
    assert type(RAISED[kind]).__name__ in outcome.error


def test_an_error_inside_a_library_is_placed_in_the_task() -> None:
    outcome = outcome_of("read_letter")

    assert isinstance(outcome, Failed)
    assert re.search(r"\(test_calls\.py:\d+ in read_letter\)$", outcome.error)
    assert "decoder.py" in outcome.traceback


def test_handlers_choose_their_outcome() -> None:
    assert outcome_of("greet", '{"name": "ann"}') == Succeeded()
    assert outcome_of("later") == RetryLater(delay_s=3.0, reason="busy")
    assert outcome_of("discard") == Discarded(reason="Discard: useless")
    assert outcome_of("cancel_itself") == Cancelled()


@pytest.mark.parametrize("args", ["[]", "{", '{"nme": 1}', "null", '"a"', ""])
def test_payloads_that_do_not_fit_are_named(args: str) -> None:
    outcome = outcome_of("greet", args)

    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.INVALID_ARGS


def test_a_deadline_cannot_be_swallowed() -> None:
    assert outcome_of("swallow", timeout_s=0.05) == TimedOut(timeout_s=0.05)


def test_a_context_knows_its_deadline_and_when_to_yield() -> None:
    context, endless = call("greet", timeout_s=0.01).context, call("greet").context
    assert context is not None
    assert endless is not None
    assert context.deadline_s is not None
    time.sleep(max(0.0, context.deadline_s - time.monotonic()))

    assert context.should_yield
    assert not endless.should_yield
    assert (context.job_id, context.attempt, context.token) == (7, 2, 3)


def test_calls_survive_the_way_to_a_child() -> None:
    sent = call("greet", '{"name": "Žofie\\n"}', timeout_s=2.0)
    frame = call_frame(sent)
    arrived = read_call(frame, app.tasks)

    assert frame.count(b"\n") == 1
    assert arrived.task is sent.task
    assert arrived.arguments() == {"name": "Žofie\n"}
    assert arrived.queue == "q"


@pytest.mark.parametrize(
    "outcome",
    [
        Succeeded(),
        Failed(error="a\nb", kind=FailureKind.INVALID_ARGS),
        RetryLater(delay_s=1.5, reason="r"),
        Discarded(reason="d"),
    ],
    ids=lambda outcome: type(outcome).__name__,
)
def test_outcomes_survive_the_way_back(outcome: Outcome) -> None:
    assert read_outcome(outcome_frame(outcome)) == outcome


@pytest.mark.parametrize("line", [b"", b"{}\n", b"[]\n", b'{"outcome": "failed"}\n', b"\xff\n"])
def test_an_answer_that_cannot_be_read_is_refused(line: bytes) -> None:
    with pytest.raises(ForeignAnswer, match=f"{len(line)} bytes"):
        read_outcome(line)


def test_busy_time_counts_while_jobs_run_and_service_time_when_they_end() -> None:
    tally = Tally("mail")
    tally.started(now_s=10.0, wait_s=0.5)
    tally.started(now_s=11.0, wait_s=0.5)
    delta = tally.take(now_s=12.0)
    assert delta is not None
    assert (delta.started, delta.busy_s, delta.service_count) == (2, 3.0, 0)
    assert sum(delta.waits.values()) == 2

    tally.ended(now_s=13.0, service_s=3.0)
    tally.stopped(now_s=13.0)
    delta = tally.take(now_s=20.0)
    assert delta is not None
    assert (delta.busy_s, delta.service_count, delta.service_sum_s) == (2.0, 1, 3.0)
    assert delta.service_sq_sum_s2 == 9.0
    assert tally.take(now_s=30.0) is None
