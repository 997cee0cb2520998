"""Is the simulator's KEDA the real one? It is given the real depths; both series are compared.

Polls and syncs have phases that nobody sees, and the HPA begins its 15 s when a sync is done, however
long that took: those that agree best are taken.
"""

import itertools
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from benchmarks.keda.api import Body
from benchmarks.keda.replicas import Series
from benchmarks.keda.resources import Queue, Scaler, queue_worker
from queueworker_operator.decision.model import Replicas, Sample
from queueworker_operator.resource import parse
from queueworker_operator.simulate.keda import Keda, Memory
from queueworker_operator.simulate.model import Conditions, Workload
from queueworker_operator.simulate.policies import Case, keda, tuned
from queueworker_operator.simulate.policy import Scaler as Model

Depths = Sequence[tuple[float, int]]

PHASE_STEP_S = 0.5
SYNC_TAKES_S = (0.0, 0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One second as the model sees it."""

    at_s: float
    current: int
    sample: Sample
    replicas: Replicas


def agreement(queue: Queue, depths: Depths, series: Series) -> Body:
    """Give the share of the time in which model and reality differ by one pod at most."""
    model = _model(queue)
    times = [at_s for at_s, _ in series]
    real = [_value(series, bisect_right(times, at_s) - 1) for at_s, _ in depths]
    polls = [step * PHASE_STEP_S for step in range(int(model.poll_s / PHASE_STEP_S))]
    syncs = [step * PHASE_STEP_S for step in range(int(model.hpa.sync_s / PHASE_STEP_S))]
    best, share, exact, fitted = (0.0, 0.0), -1.0, 0.0, model
    for takes_s, poll_s, sync_s in itertools.product(SYNC_TAKES_S, polls, syncs):
        tried = replace(model, hpa=replace(model.hpa, sync_s=model.hpa.sync_s + takes_s))
        modelled = replay(tried, depths, poll_s, sync_s)
        gaps = [abs(one - other) for one, other in zip(real, modelled, strict=True)]
        near = sum(gap <= 1 for gap in gaps) / len(gaps)
        if near > share:
            best, share, fitted = (poll_s, sync_s), near, tried
            exact = sum(gap == 0 for gap in gaps) / len(gaps)
    return {
        "seconds": round(depths[-1][0] - depths[0][0]),
        "within_one_percent": round(100 * share, 1),
        "equal_percent": round(100 * exact, 1),
        "phases_s": best,
        "real": _line(real),
        "sync_every_s": fitted.hpa.sync_s,
        "modelled": _line(replay(fitted, depths, *best)),
        "depths": _line(depth for _, depth in depths),
    }


def replay(model: Keda, depths: Depths, poll_s: float, sync_s: float) -> list[int]:
    """Fold the model over the depths, its first poll and sync so many seconds after the first."""
    begun_s, current, modelled = depths[0][0], 0, list[int]()
    memory = Memory(poll_s=begun_s + poll_s, sync_s=begun_s + sync_s, active_s=begun_s)
    for at_s, depth in depths:
        current, memory = model.step(memory, _seen(at_s, depth, current))
        modelled.append(current)
    return modelled


def _line(numbers: Iterable[int]) -> str:
    return " ".join(map(str, numbers))


def _model(queue: Queue) -> Keda:
    case = Case(
        policy=parse(queue_worker(queue)).policy,
        workload=Workload(at_s=array("d"), size_s=array("d"), lasts_s=0.0),
        conditions=Conditions(slots=queue.slots),
    )
    made: Sequence[Model] = tuned(case) if queue.scaler is Scaler.KEDA_TUNED else keda(case)
    [model] = made
    if not isinstance(model, Keda):
        raise TypeError(model)
    return model


def _value(series: Series, place: int) -> int:
    return series[max(place, 0)][1]


def _seen(at_s: float, depth: int, current: int) -> Seen:
    sample = Sample(
        at_s=at_s,
        ready=depth,
        oldest_age_s=0.0,
        running=0.0,
        enqueued_total=0.0,
        announced_total=0.0,
        finished_total=0.0,
        busy_slot_seconds_total=0.0,
        service_count=0.0,
        service_sum_s=0.0,
        service_sq_sum_s2=0.0,
        started_total=0.0,
        late_total=0.0,
    )
    return Seen(
        at_s=at_s, current=current, sample=sample, replicas=Replicas(current=current, ready=current)
    )
