"""A burst comes into an empty queue: how long until the Deployment is asked for its full size?"""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks.figures import percentile
from benchmarks.keda.agreement import agreement
from benchmarks.keda.api import Body
from benchmarks.keda.ground import Ground, ground, running_operator
from benchmarks.keda.replicas import Replicas, Series
from benchmarks.keda.resources import Queue, Scaler
from benchmarks.keda.rival import keda_version, running_keda

MOST, JOBS, JOB_S = 100, 500, 60.0
BEFORE_S, AFTER_S = 5, 10
ANSWERED_FIRST_S = 0.2  # the answer may be seen before the commit's own answer
SETTLE_S = 35.0  # each poll and each sync has happened once by then
SLOWEST_S = {Scaler.OURS: 30.0, Scaler.KEDA: 240.0, Scaler.KEDA_TUNED: 60.0}
EMPTY = """
    DELETE FROM queueworker.job USING queueworker.queue AS q
    WHERE q.id = queue_id AND q.name = %s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """One burst: when it was committed, and what its Deployment was asked for afterwards."""

    queue: Queue
    committed_s: float


def reaction(bursts: int, rounds: int, say: Callable[[str], None]) -> Body:
    """Send `bursts` to queues of ours and `rounds` to those of each rival, alternating."""
    counts = {Scaler.OURS: bursts, Scaler.KEDA: rounds, Scaler.KEDA_TUNED: rounds}
    queues = {scaler: _queues(scaler, count) for scaler, count in counts.items()}
    with ExitStack() as stack:
        place = stack.enter_context(ground())
        stack.enter_context(running_operator(place))
        stack.enter_context(running_keda(place))
        replicas = Replicas(place.api)
        for several in queues.values():
            place.apply([one for queue in several for one in queue.objects()])
        say(f"settling {SETTLE_S:.0f} s, then {rounds} rounds of 5 to 20 s, then up to 2 minutes")
        time.sleep(SETTLE_S)
        sent = _send(place, replicas, queues, say)
        for burst in sent:
            _await_full(replicas, burst)
        say("all are at their full size")
        return {
            "keda_version": keda_version(),
            "jobs": JOBS,
            "replicas": MOST,
            **{scaler.value: _figures(replicas, sent, scaler) for scaler in queues},
            "agreement": {
                scaler.value: _agreement(replicas, sent, scaler)
                for scaler in (Scaler.KEDA, Scaler.KEDA_TUNED)
            },
        }


def _queues(scaler: Scaler, count: int) -> list[Queue]:
    name = scaler.value.replace(", ", "-")
    return [
        Queue(name=f"{name}-{number}", scaler=scaler, most=MOST, start_within="5s", paused=True)
        for number in range(count)
    ]


def _send(
    place: Ground,
    replicas: Replicas,
    queues: dict[Scaler, list[Queue]],
    say: Callable[[str], None],
) -> list[Burst]:
    """Send a round: one burst to each rival and a share of ours, spread at random over 5 s."""
    rng, sent = random.Random(1), list[Burst]()  # noqa: S311 phases
    rounds = len(queues[Scaler.KEDA])
    share = -(-len(queues[Scaler.OURS]) // rounds)
    for turn in range(rounds):
        mine = queues[Scaler.OURS][turn * share : (turn + 1) * share]
        rivals = [queues[scaler][turn] for scaler in (Scaler.KEDA, Scaler.KEDA_TUNED)]
        chosen = [*mine, *rivals]
        rng.shuffle(chosen)
        for queue in chosen:
            sent.append(_burst(place, queue))
            if queue.scaler is Scaler.OURS:
                _await_full(replicas, sent[-1])
                place.conn.execute(EMPTY, [queue.name])
            time.sleep(rng.uniform(0, 0.3))
        say(f"round {turn + 1} of {rounds}: {len(sent)} bursts sent")
    return sent


def _burst(place: Ground, queue: Queue) -> Burst:
    return Burst(queue=queue, committed_s=place.enqueue(queue.name, [JOB_S] * JOBS))


def _await_full(replicas: Replicas, burst: Burst) -> None:
    replicas.until(
        lambda: reached_s(replicas.series[burst.queue.name], burst, MOST) is not None,
        within_s=SLOWEST_S[burst.queue.scaler],
        what=f"{burst.queue.name} is asked for {MOST} pods",
    )


def reached_s(series: Series, burst: Burst, count: int) -> float | None:
    """Give the seconds from the commit until the replicas were at `count` or more."""
    since_s = burst.committed_s - ANSWERED_FIRST_S
    later = (
        max(0.0, at_s - burst.committed_s)
        for at_s, replicas in series
        if at_s >= since_s and replicas >= count
    )
    return next(later, None)


def _figures(replicas: Replicas, sent: Sequence[Burst], scaler: Scaler) -> Body:
    mine = [burst for burst in sent if burst.queue.scaler is scaler]
    first, full, paths = list[float](), list[float](), list[list[int]]()
    for burst in mine:
        series = replicas.series[burst.queue.name]
        first.append(reached_s(series, burst, 1) or 0.0)
        full.append(reached_s(series, burst, MOST) or 0.0)
        path = [count for at_s, count in series if at_s >= burst.committed_s]
        paths.append(path[: path.index(MOST) + 1])
    return {
        "bursts": len(mine),
        "first_pod_s": _spread(first),
        "full_size_s": _spread(full),
        "steps": max(paths, key=len),
        "all_full_size_s": [round(seconds, 3) for seconds in full],
    }


def _agreement(replicas: Replicas, sent: Sequence[Burst], scaler: Scaler) -> Body:
    """Hold the simulated KEDA against the real one, from before each burst to the full size."""
    seconds, near = 0, 0.0
    for burst in sent:
        if burst.queue.scaler is not scaler:
            continue
        series = replicas.series[burst.queue.name]
        lasts_s = int((reached_s(series, burst, MOST) or 0.0) + AFTER_S)
        times = [burst.committed_s + second for second in range(-BEFORE_S, lasts_s)]
        depths = [(at_s, JOBS if at_s >= burst.committed_s else 0) for at_s in times]
        found = agreement(burst.queue, depths, series)
        seconds += found["seconds"]
        near += found["seconds"] * found["within_one_percent"]
    return {"seconds": seconds, "within_one_percent": round(near / seconds, 1)}


def _spread(values: Sequence[float]) -> dict[str, float]:
    shown = {
        "p50": percentile(values, 0.5),
        "p99": percentile(values, 0.99),
        "mean": sum(values) / len(values),
        "least": min(values),
        "most": max(values),
    }
    return {name: round(value, 3) for name, value in shown.items()}
