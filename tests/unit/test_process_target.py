"""Local processes stand in for pods: real processes, as a Deployment would run them."""

import asyncio
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from queueworker_operator.target.pod import Command, says_ready
from queueworker_operator.target.process import ProcessTarget

DEADLINE_S = 20.0
READY = 'print(\'{"message": "ready: port 1"}\', flush=True)'
WORKER = f"""
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
{READY}
time.sleep(60)
"""
STUBBORN = f"""
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
{READY}
time.sleep(60)
"""
NEVER_READY = "import time; print('starting', flush=True); time.sleep(60)"
CRASHING = "import sys; print('no such queue', flush=True); sys.exit(3)"


def target_of(
    script: str,
    folder: Path,
    *,
    grace_s: float = 10.0,
    clock: Callable[[], float] = time.monotonic,
) -> ProcessTarget:
    def command(pod: str) -> Command:
        environment = {**os.environ, "QUEUEWORKER_POD_NAME": pod}
        return Command(words=(sys.executable, "-c", script), environment=environment, folder=folder)

    return ProcessTarget("shop", "mail", command, grace_s=grace_s, logs=folder, clock=clock)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 the event happens in another process
            await asyncio.sleep(0.02)


def run(story: Callable[[ProcessTarget], Awaitable[None]], target: ProcessTarget) -> None:
    async def play() -> None:
        try:
            await story(target)
        finally:
            target.kill()
            await target.close()

    asyncio.run(play())


def ready(target: ProcessTarget) -> int:
    replicas = target.read()
    assert replicas is not None
    return replicas.ready


def names(target: ProcessTarget) -> list[str]:
    return [pod.name for pod in target.pods()]


def gone(target: ProcessTarget) -> tuple[str, ...]:
    return tuple(pod.name for pod in target.take_gone())


def test_pods_become_ready_when_their_worker_says_so(tmp_path: Path) -> None:
    async def story(target: ProcessTarget) -> None:
        await target.scale(3)
        before = target.read()
        await until(lambda: ready(target) == 3)
        after = target.read()

        assert before is not None
        assert after is not None
        assert (before.current, before.ready, len(before.starting_ages_s)) == (3, 0, 3)
        assert (after.current, after.starting_ages_s, after.start_up_count) == (3, (), 3)
        assert 0 < after.start_up_sum_s < 3 * DEADLINE_S
        assert len(set(names(target))) == 3

    run(story, target_of(WORKER, tmp_path))


def test_a_pod_that_says_nothing_stays_starting(tmp_path: Path) -> None:
    async def story(target: ProcessTarget) -> None:
        await target.scale(1)
        (pod,) = names(target)
        await until(lambda: "starting" in read_log(tmp_path, pod))

        assert ready(target) == 0

    run(story, target_of(NEVER_READY, tmp_path))


def read_log(folder: Path, pod: str) -> str:
    log = folder / f"{pod}.log"
    return log.read_text() if log.exists() else ""


def test_scaling_in_ends_the_preferred_pods_first(tmp_path: Path) -> None:
    async def story(target: ProcessTarget) -> None:
        await target.scale(3)
        await until(lambda: ready(target) == 3)
        victim, *others = names(target)
        await target.prefer([victim])
        await target.scale(2)

        assert set(names(target)) == set(others)
        await until(lambda: target.processes() == 2)
        assert gone(target) == (victim,)
        assert gone(target) == ()

    run(story, target_of(WORKER, tmp_path))


def test_scaling_in_ends_a_pod_that_is_not_ready_before_a_preferred_one(tmp_path: Path) -> None:
    async def story(target: ProcessTarget) -> None:
        await target.scale(1)
        await until(lambda: ready(target) == 1)
        (old,) = names(target)
        await target.scale(2)
        await target.prefer([old])
        await target.scale(1)

        assert list(names(target)) == [old]

    run(story, target_of(WORKER, tmp_path))


def test_a_pod_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    async def story(target: ProcessTarget) -> None:
        await target.scale(1)
        await until(lambda: ready(target) == 1)
        started_s = time.monotonic()
        await target.scale(0)
        await until(lambda: target.processes() == 0)

        assert time.monotonic() - started_s >= 0.5

    run(story, target_of(STUBBORN, tmp_path, grace_s=0.5))


def test_a_crashed_pod_is_replaced_under_a_new_name_after_a_delay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(target: ProcessTarget) -> None:
        await target.scale(1)
        (first,) = names(target)
        await until(lambda: first not in names(target))
        crashed_s = time.monotonic()
        (second,) = names(target)
        await until(lambda: second not in names(target))

        assert time.monotonic() - crashed_s >= 1.0
        assert gone(target) == (first, second)
        assert f"pod {first} exited with 3: no such queue; its output: {tmp_path}" in caplog.text

    run(story, target_of(CRASHING, tmp_path))


def test_pods_that_crash_alike_are_told_once_a_minute(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Clock:
        ahead_s = 0.0

        def __call__(self) -> float:
            return time.monotonic() + self.ahead_s

    clock = Clock()

    def told() -> list[str]:
        return [record.getMessage() for record in caplog.records]

    async def story(target: ProcessTarget) -> None:
        await target.scale(3)
        left: list[str] = []
        await until(lambda: len(left.extend(gone(target)) or left) >= 3)
        assert len(told()) == 1

        clock.ahead_s = 61.0
        await until(lambda: len(told()) == 2)
        assert re.search(r"\(as \d more did since\)", told()[1])

    run(story, target_of(CRASHING, tmp_path, clock=clock))


def test_a_killed_pod_is_named_among_the_gone_and_replaced(tmp_path: Path) -> None:
    pid_script = f"import os; print('pid', os.getpid(), flush=True)\n{WORKER}"

    async def story(target: ProcessTarget) -> None:
        await target.scale(1)
        await until(lambda: ready(target) == 1)
        (victim,) = names(target)
        os.kill(int(read_log(tmp_path, victim).split()[1]), 9)
        await until(lambda: gone(target) == (victim,))

        assert len(names(target)) == 1

    run(story, target_of(pid_script, tmp_path))


def test_a_missing_command_is_a_crash_with_its_cause(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def command(_pod: str) -> Command:
        return Command(words=("no-such-command",), environment={}, folder=tmp_path)

    async def story(target: ProcessTarget) -> None:
        await target.scale(1)
        await until(lambda: gone(target) != ())

        assert "did not start: no-such-command: No such file or directory" in caplog.text

    run(story, ProcessTarget("shop", "mail", command, grace_s=1.0, logs=tmp_path))


def test_worker_seconds_count_each_pod_from_creation_to_exit(tmp_path: Path) -> None:
    async def story(target: ProcessTarget) -> None:
        started_s = time.monotonic()
        await target.scale(2)
        await until(lambda: ready(target) == 2)
        await target.close()
        longest_s = 2 * (time.monotonic() - started_s)
        spent_s = target.spent_s()

        assert 0 < spent_s <= longest_s
        await asyncio.sleep(0.05)
        assert target.spent_s() == spent_s

    run(story, target_of(WORKER, tmp_path))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"level": "info", "message": "ready: port 41237, worker w, 4 slots"}', True),
        ("12:00:01 INFO ready: port 41237, worker w, 4 slots", True),
        ('{"level": "info", "message": "not ready: the schema is old"}', False),
        ('{"level": "info", "message": "port 8080 is in use"}', False),
        ('{"level": "info"}', False),
        ("ready, steady, go", False),
        ("{not json", False),
    ],
)
def test_the_ready_line_is_known_as_json_and_as_text(line: str, expected: bool) -> None:
    assert says_ready(line) is expected
