"""Dead letters: make them, list them."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.engine import engine
from tests.support.worker_process import run_command

from queueworker.job import ClaimedJob, FailureKind, Transition, TransitionKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A dead letter to be made."""

    task: str = "a"
    error: str = "no hope"
    kind: FailureKind = FailureKind.ERROR
    options: tuple[tuple[str, object], ...] = ()


def failed(job: ClaimedJob, letter: Letter, kind: TransitionKind) -> Transition:
    return Transition(
        job_id=job.id, token=job.token, kind=kind, error=letter.error, failure=letter.kind
    )


def bury_all(dsn: str, letters: Sequence[Letter], queue: str = "mail") -> list[int]:
    """Make dead letters, each dead a little later than the one before; give their ids."""

    async def scenario() -> list[int]:
        async with engine(dsn, queue) as e:
            worker = await e.worker(pod="pod-7")
            ids = []
            for letter in letters:
                ids += await e.enqueue(1, letter.task, **dict(letter.options))
                (job,) = await e.claim(worker)
                await e.store.complete(e.queue, [failed(job, letter, TransitionKind.DEAD)])
            return ids

    return asyncio.run(scenario())


def listed(dsn: str, *flags: str) -> list[int]:
    done = run_command(dsn, "dead", "list", "--json", *flags)
    assert done.returncode == 0, done.stderr
    return [job["id"] for job in json.loads(done.stdout)]
