"""Local processes for tests of their target: some end well, some do not."""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from queueworker_operator.target.pod import Command
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


def read_log(folder: Path, pod: str) -> str:
    log = folder / f"{pod}.log"
    return log.read_text() if log.exists() else ""
