"""A plan made with the future known: what no controller can beat by much.

Work is a fluid of slot-seconds. For a while at a time the plan takes the fewest pods that start
all of it in time, as a work-conserving queue would. For jobs longer than the promise it takes the
slots that are held. Pods are created a start-up earlier than needed, and a gap that costs less to
keep a pod through than to start it anew is filled. Several reserves are tried; the cheapest that
keeps the promise counts.
"""

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from queueworker_operator.decision.sizing import smallest
from queueworker_operator.simulate.model import Conditions, Workload
from queueworker_operator.simulate.policy import Seen
from queueworker_operator.simulate.reading import EPOCH_S

STEP_S = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Clairvoyant:
    """Follows `pods`, one number each `STEP_S`."""

    pods: tuple[int, ...]
    name: str = "clairvoyant"
    drains: bool = True

    def begin(self, seed: int) -> None:
        """Remember nothing: all is in the plan."""

    def step(self, memory: None, seen: Seen) -> tuple[int, None]:
        """Look the plan up."""
        index = int((seen.at_s - EPOCH_S) / STEP_S)
        return self.pods[min(index, len(self.pods) - 1)], memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """How careful a plan is: the share of the promise it uses, how long a size is kept.

    `spare` is how many times the root of the busy slots are free beyond them: chance is no fluid.
    """

    share: float
    keep_s: float
    spare: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fluid:
    """Slot-seconds that have arrived, and that must have been served, at the end of each step."""

    arrived: Sequence[float]
    due: Sequence[float]
    per_pod: float

    def serves(self, pods: int, start: int, end: int, served: float) -> bool:
        """Tell whether `pods` pods meet all that is due from step `start` to `end`."""
        return self.after(pods, start, end, served) is not None

    def after(self, pods: int, start: int, end: int, served: float) -> float | None:
        """Give what `pods` pods have served at `end`, None when some of it came too late."""
        for step in range(start + 1, end + 1):
            served = min(served + pods * self.per_pod, self.arrived[step])
            if served < self.due[step] - 1e-6:
                return None
        return served


def plan(
    workload: Workload, conditions: Conditions, bounds: tuple[int, int], reserve: Reserve
) -> Clairvoyant:
    """Plan for `workload`, within the fewest and the most pods."""
    mean_s = workload.work_s / max(len(workload.at_s), 1)
    deadline_s = reserve.share * conditions.promise_s
    if mean_s > deadline_s:
        pods = _holding(workload, deadline_s / 2, conditions.slots)
    else:
        fluid = _fluid(workload, deadline_s, conditions.slots)
        pods = _serving(fluid, bounds[1], int(reserve.keep_s / STEP_S))
    start_up = conditions.start_up
    lead_s = start_up.mean_s * (1 + 2 * start_up.cv)
    spared = [_with_spare(count, conditions.slots, reserve.spare) for count in pods]
    bridged = _bridge(spared, int((start_up.mean_s + mean_s) / STEP_S))
    early = _earlier(bridged, math.ceil(lead_s / STEP_S))
    return Clairvoyant(pods=tuple(min(max(count, bounds[0]), bounds[1]) for count in early))


def _with_spare(pods: int, slots: int, spare: float) -> int:
    return pods + math.ceil(spare * math.sqrt(pods * slots) / slots - 1e-9)


def _fluid(workload: Workload, deadline_s: float, slots: int) -> Fluid:
    steps = _steps(workload)
    arriving = array("d", bytes(8 * steps))
    for at_s, size_s in zip(workload.at_s, workload.size_s, strict=True):
        arriving[min(int(at_s / STEP_S), steps - 1)] += size_s
    arrived = [0.0, *accumulate(arriving)]
    due = [*([0.0] * int(deadline_s / STEP_S)), *arrived][: steps + 1]
    return Fluid(arrived=arrived, due=due, per_pod=STEP_S * slots)


def _steps(workload: Workload) -> int:
    return max(1, math.ceil(workload.lasts_s / STEP_S))


def _serving(fluid: Fluid, most: int, keep: int) -> list[int]:
    """Give the fewest pods that are in time, a number for `keep` steps at a time."""
    pods: list[int] = []
    served, last = 0.0, len(fluid.arrived) - 1
    while len(pods) < last:
        start, end = len(pods), min(len(pods) + keep, last)

        def enough(count: int, start: int = start, end: int = end, served: float = served) -> bool:
            return fluid.serves(count, start, end, served)

        count = smallest(0, most, enough)
        pods += [count] * (end - start)
        # Where even the most are too few, what is late is served as fast as it can be.
        fastest = min(served + count * fluid.per_pod * (end - start), fluid.arrived[end])
        found = fluid.after(count, start, end, served)
        served = fastest if found is None else found
    return pods


def _holding(workload: Workload, delay_s: float, slots: int) -> list[int]:
    """Give the pods whose slots are held when each job starts `delay_s` after it arrived."""
    steps = _steps(workload)
    change = [0] * (steps + 2)
    for at_s, size_s in zip(workload.at_s, workload.size_s, strict=True):
        change[min(int((at_s + delay_s) / STEP_S), steps)] += 1
        change[min(int((at_s + delay_s + size_s) / STEP_S) + 1, steps)] -= 1
    return [math.ceil(held / slots) for held in accumulate(change[:steps])]


def _bridge(pods: Sequence[int], most_steps: int) -> list[int]:
    """Keep each pod through gaps of up to `most_steps`: it would cost more to start it anew."""
    kept = list(pods)
    last_at: dict[int, int] = {}
    previous = 0
    for step, count in enumerate(pods):
        for pod in range(previous, count):
            gone = last_at.get(pod)
            if gone is not None and step - gone <= most_steps:
                for between in range(gone, step):
                    kept[between] = max(kept[between], pod + 1)
        for pod in range(count, previous):
            last_at[pod] = step
        previous = count
    return kept


def _earlier(pods: Sequence[int], steps: int) -> list[int]:
    """Create pods `steps` before they are needed, remove them when they are not any more."""
    return [max(pods[index : index + steps + 1]) for index in range(len(pods))]
