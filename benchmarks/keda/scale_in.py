"""Who is told to end at a scale-in: pods that are busy, while others are idle?"""

import itertools
import time
from collections.abc import Callable
from dataclasses import asdict

from benchmarks.errors import NotCompleted
from benchmarks.keda import ledger
from benchmarks.keda.api import Body
from benchmarks.keda.ground import Ground, ground, running_operator
from benchmarks.keda.load import Pattern, run_load
from benchmarks.keda.pool import Pool, running_pool
from benchmarks.keda.replicas import Replicas
from benchmarks.keda.resources import Queue, Scaler

QUEUES, MOST, GRACE_S = 16, 6, 60
START_WITHIN = "15s"
SAY_EVERY_S, EMPTY_WITHIN_S = 15.0, 120.0
PATTERN = Pattern()
LEFT = "SELECT count(*) FROM queueworker.job"


def scale_in(removals: int, within_s: float, say: Callable[[str], None]) -> Body:
    """Run mixed jobs in many queues until so many pods were removed; give what happened."""
    with ground() as place, running_operator(place):
        queues = [
            Queue(
                name=f"q{number}",
                scaler=Scaler.OURS,
                most=MOST,
                start_within=START_WITHIN,
                grace_s=GRACE_S,
            )
            for number in range(QUEUES)
        ]
        with running_pool(place) as pool:
            replicas = Replicas(place.api)
            place.apply([one for queue in queues for one in queue.objects()])
            progress = _Progress(pool, removals, within_s, say)
            names = [queue.name for queue in queues]
            jobs = run_load(place, names, PATTERN, progress.goes_on)
            _await_empty(place)
            return _result(place, pool, replicas, jobs)


class _Progress:
    def __init__(
        self, pool: Pool, removals: int, within_s: float, say: Callable[[str], None]
    ) -> None:
        self._pool, self._removals, self._say = pool, removals, say
        self._begun_s = self._said_s = time.monotonic()
        self._within_s = within_s

    def goes_on(self) -> bool:
        now_s, count = time.monotonic(), len(self._pool.removals)
        if now_s - self._said_s >= SAY_EVERY_S:
            self._said_s = now_s
            removals = list(self._pool.removals)
            wrong = len(ledger.wrong(removals))
            steps = ledger.steps(removals)
            beside = sum(ledger.had_busy(step) for step in steps)
            self._say(
                f"{now_s - self._begun_s:.0f} s of {self._within_s:.0f} at most: {count} of"
                f" {self._removals} pods removed, {len(self._pool.pods)} there, {wrong} wrong;"
                f" {len(steps)} steps, {beside} with a busy pod"
            )
        return count < self._removals and now_s - self._begun_s < self._within_s


def _await_empty(place: Ground) -> None:
    ends_s = time.monotonic() + EMPTY_WITHIN_S
    while (left := place.conn.execute(LEFT).fetchone()) != (0,):
        if time.monotonic() > ends_s:
            raise NotCompleted(f"{left} jobs stay unfinished; look at the workers' log")
        time.sleep(0.5)


def _result(place: Ground, pool: Pool, replicas: Replicas, jobs: int) -> Body:
    entries = ledger.read(place.folder / "ledger")
    removals = list(pool.removals)
    broken = ledger.interrupted(entries)
    steps = sum(
        later[1] < earlier[1]
        for series in replicas.series.values()
        for earlier, later in itertools.pairwise(series)
    )
    busy = [one for one in removals if one.is_busy]
    ended = {entry.job for entry in entries if entry.what == "end"}
    return {
        "queues": QUEUES,
        "most": MOST,
        "grace_s": GRACE_S,
        "start_within": START_WITHIN,
        "mix": asdict(PATTERN.mix),
        "jobs": jobs,
        "jobs_ended": len(ended),
        "steps_down": steps,
        "steps_with_a_busy_pod": sum(map(ledger.had_busy, ledger.steps(removals))),
        "pods_removed": len(removals),
        "busy": len(busy),
        "busy_while_another_was_idle": len(ledger.wrong(removals)),
        "killed_after_the_grace": len(pool.killed),
        "jobs_interrupted": len(broken),
        "wrong": [f"{one.queue} {one.pod} {one.at_s:.3f}" for one in ledger.wrong(removals)],
    }
