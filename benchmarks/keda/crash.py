"""A pod whose worker is killed: how soon do its jobs run in another one?"""

import json
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.errors import NotCompleted
from benchmarks.figures import waits_ms
from benchmarks.keda import ledger
from benchmarks.keda.api import Body
from benchmarks.keda.ground import Ground, ground, running_operator
from benchmarks.keda.pool import Pool, running_pool
from benchmarks.keda.resources import Queue, Scaler

QUEUES, PODS, SLOTS = 10, 3, 2
LONG_S, AGAIN_S = 60.0, 0.2
START_WITHIN_S, LOOK_EVERY_S = 90.0, 0.02
GROWN_S = 6.0  # the operator spares rows of the last 5 s: they may be of the next worker of a pod
ENQUEUE = "SELECT queueworker.enqueue(%s, 'work', %s::jsonb)"


def crash(kills: int, say: Callable[[str], None]) -> Body:
    """Kill the worker of a running job `kills` times, in many queues side by side."""
    with ground() as place, running_operator(place), running_pool(place) as pool:
        queues = [
            Queue(name=f"q{number}", scaler=Scaler.OURS, slots=SLOTS, least=PODS, most=PODS)
            for number in range(QUEUES)
        ]
        place.apply([one for queue in queues for one in queue.objects()])
        _await(lambda: all(_is_whole(pool, queue) for queue in queues), "all pods serve")
        waits_s: list[float] = []
        for turn in range(-(-kills // QUEUES)):
            waits_s += _turn(place, pool, queues)
            say(
                f"{len(waits_s)} of {kills} killed; longest wait {max(waits_s):.2f} s (turn {turn})"
            )
        return {"kills": len(waits_s), "start_elsewhere": waits_ms(waits_s), "waits_s": waits_s}


def _turn(place: Ground, pool: Pool, queues: list[Queue]) -> list[float]:
    """Give each queue a long job, kill each job's worker, and wait for its start elsewhere."""
    path = place.folder / "ledger"
    jobs: dict[int, Queue] = {}
    for queue in queues:
        args = json.dumps({"seconds": LONG_S, "again": AGAIN_S})
        row = place.conn.execute(ENQUEUE, [queue.name, args]).fetchone()
        jobs[int(row[0]) if row else 0] = queue
    _await(lambda: jobs.keys() <= _starts(path).keys(), "the jobs have started")
    first = _starts(path)
    killed_s = {job: pool.crash(pool.pods[first[job][0].pod]) for job in jobs}
    _await(lambda: all(len(_starts(path)[job]) > 1 for job in jobs), "the jobs started elsewhere")
    again = _starts(path)
    _await(lambda: all(_is_whole(pool, queue) for queue in queues), "all pods serve again")
    return [round(again[job][1].at_s - killed_s[job], 3) for job in jobs]


def _starts(path: Path) -> dict[int, list[ledger.Entry]]:
    return ledger.by_job(entry for entry in ledger.read(path) if entry.what == "start")


def _is_whole(pool: Pool, queue: Queue) -> bool:
    serving = pool.serving(queue.name)
    grown_s = time.time() - GROWN_S
    return len(serving) == PODS and all(
        pod.process is not None and pod.process.exitcode is None and pod.started_s < grown_s
        for pod in serving
    )


def _await(holds: Callable[[], bool], what: str) -> None:
    ends_s = time.monotonic() + START_WITHIN_S
    while not holds():
        if time.monotonic() > ends_s:
            raise NotCompleted(f"not within {START_WITHIN_S:g} s: {what}; look at the workers' log")
        time.sleep(LOOK_EVERY_S)
