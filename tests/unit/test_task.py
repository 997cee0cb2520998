from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import pytest

from queueworker import App, Context, DuplicateTask, InvalidCall, TaskError, UnknownTask
from queueworker.errors import AppNotFound
from queueworker.load import load_app
from queueworker.task import Executor


def new_app() -> App:
    return App()


def test_a_call_builds_a_job_and_runs_nothing() -> None:
    app, ran = new_app(), []

    @app.task(queue="mail", priority=2)
    def send(to: str, subject: str = "hi") -> None:
        ran.append(to + subject)

    job = send("a", subject="x")

    assert (job.task, job.queue, job.priority, dict(job.args)) == (
        "send",
        "mail",
        2,
        {"to": "a", "subject": "x"},
    )
    assert ran == []


def test_run_calls_the_function() -> None:
    app = new_app()

    @app.task()
    def double(number: int) -> int:
        return number * 2

    assert double.run(21) == 42


@pytest.mark.parametrize(
    "kwargs", [{}, {"to": "a", "unknown": 1}, {"to": {1, 2}}, {"to": float("inf")}]
)
def test_a_wrong_argument_fails_at_the_call(kwargs: dict[str, Any]) -> None:
    app = new_app()

    @app.task()
    def send(to: object) -> None: ...

    with pytest.raises(InvalidCall, match="send"):
        send(**kwargs)


def test_an_injected_context_is_absent_from_the_call() -> None:
    app = new_app()

    @app.task()
    async def send(ctx: Context, to: str) -> None: ...

    assert dict(send(to="a").args) == {"to": "a"}
    assert send.wants_context
    with pytest.raises(InvalidCall):
        send("a", "b")  # type: ignore[call-arg]


def test_extra_keyword_arguments_travel_by_name() -> None:
    app = new_app()

    @app.task()
    def send(to: str, **extra: int) -> None: ...

    assert dict(send("a", x=1, y=2).args) == {"to": "a", "x": 1, "y": 2}


def test_async_tasks_run_in_the_loop_and_plain_ones_in_threads() -> None:
    app = new_app()

    @app.task()
    async def one() -> None: ...
    @app.task()
    def two() -> None: ...
    @app.task(executor="process")
    def three() -> None: ...

    assert [t.executor for t in (one, two, three)] == [
        Executor.ASYNC,
        Executor.THREAD,
        Executor.PROCESS,
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"priority": 10},
        {"max_attempts": 0},
        {"timeout_s": 0},
        {"timeout_s": float("nan")},
        {"executor": "async"},
        {"executor": "bogus"},
        {"queue": "a b"},
        {"queue": ""},
        {"on_duplicate": "x"},
        {"unique": 5},
    ],
)
def test_options_out_of_bounds_are_refused_at_definition(options: dict[str, Any]) -> None:
    with pytest.raises(TaskError):

        @new_app().task(**options)
        def send() -> None: ...


def test_an_unknown_executor_names_the_known_ones() -> None:
    with pytest.raises(TaskError, match="'bogus' is not known; give one of: auto, async, thread"):
        new_app().task(executor="bogus")


def test_a_decorator_without_parentheses_says_how_to_write_it() -> None:
    def send() -> None: ...

    with pytest.raises(TaskError, match=r"task 'send': write @app\.task\(\)"):
        new_app().task(send)  # type: ignore[arg-type]


def test_a_context_in_another_place_is_refused_at_definition() -> None:
    with pytest.raises(TaskError, match=r"task 'nap': ctx: .*Context must be the first parameter"):

        @new_app().task(name="nap")
        def send(seconds: int, ctx: Context) -> None: ...


def test_a_call_says_what_is_missing_and_what_no_parameter_takes() -> None:
    app = new_app()

    @app.task()
    def send(to: str, subject: str = "") -> None: ...

    with pytest.raises(InvalidCall, match=r"'to'; unexpected: 'too'; it takes: to, subject"):
        send(too="k")  # type: ignore[call-arg]


def test_generators_are_refused_at_definition() -> None:
    app = App()

    def plain() -> Iterator[int]:
        yield 1

    async def asynchronous() -> AsyncIterator[int]:
        yield 1

    for function in (plain, asynchronous, partial(plain)):
        with pytest.raises(TaskError, match="is a generator"):
            app.task(name="generate")(function)


def test_parameters_that_have_no_name_are_refused() -> None:
    with pytest.raises(TaskError, match="by name"):

        @new_app().task()
        def send(*to: str) -> None: ...


def test_apps_merge_and_two_tasks_of_one_name_are_refused() -> None:
    one, two = new_app(), new_app()

    @two.task(name="send")
    def first() -> None: ...

    one.include(two)
    one.include(two)

    @two.task(name="other")
    def second() -> None: ...

    assert [task.name for task in one.tasks] == ["send"]
    with pytest.raises(DuplicateTask, match="send"):
        one.task(name="send")(lambda: None)
    with pytest.raises(UnknownTask, match="nothing"):
        one.tasks.get("nothing")


@pytest.mark.parametrize("reference", ["", "no_such_module:app", "json:app", "json"])
def test_an_app_that_cannot_be_found_is_one_clear_error(reference: str) -> None:
    with pytest.raises(AppNotFound, match=r"--app|QUEUEWORKER_APP"):
        load_app(reference)


def test_making_an_app_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUEWORKER_DSN", "postgresql://[broken")

    assert len(App().tasks) == 0
