"""Local processes stand in for pods: real processes, as a Deployment would run them."""

import asyncio
import os
import re
import time
from pathlib import Path

import pytest
from tests.support.processes import (
    CRASHING,
    DEADLINE_S,
    NEVER_READY,
    STUBBORN,
    WORKER,
    gone,
    names,
    read_log,
    ready,
    run,
    target_of,
    until,
)

from queueworker_operator.target.pod import Command
from queueworker_operator.target.process import ProcessTarget


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

        def have_left() -> bool:
            left.extend(gone(target))
            return len(left) >= 3

        await until(have_left)
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
