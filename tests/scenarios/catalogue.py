"""The workloads. Constants of the controller may be chosen by those of TUNE, never by JUDGE's."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from tests.scenarios.shapes import (
    Build,
    batches,
    both,
    counted,
    events,
    every,
    growth,
    levels,
    now_and_then,
    ramp,
    sized,
    spikes,
    stream,
    switching,
    wave,
)

from queueworker_operator.decision.model import Policy
from queueworker_operator.simulate.model import (
    START_UPS,
    Conditions,
    Curve,
    Lognormal,
    StartFault,
    StuckJobs,
    Window,
)
from queueworker_operator.simulate.policies import Case

SLOTS = 4
HIGHEST = 60


class Part(StrEnum):
    """What a workload may be used for."""

    TUNE = "tune"
    JUDGE = "judge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One workload and what happens to the cluster meanwhile (`conditions`).

    `hours` above 0 is how long the suite needs, whatever it takes for others.
    """

    name: str
    part: Part
    build: Build
    lowest: int = 1
    conditions: Mapping[str, Any] = field(default_factory=dict)
    kind: str = "ordinary"
    knee_pods: float = 0.0
    hours: float = 0.0

    def case(
        self, *, promise_s: float = 30.0, start_up: str = "typical", hours: float = 2.0
    ) -> Case:
        """Give what is to be simulated."""
        conditions = Conditions(
            promise_s=promise_s,
            slots=SLOTS,
            start_up=START_UPS[start_up],
            grace_s=60.0,
            pods=self.lowest,
            seed=7,
        )
        policy = Policy(
            start_within_s=promise_s,
            min_replicas=self.lowest,
            max_replicas=HIGHEST,
            default_slots=SLOTS,
        )
        return Case(
            policy=policy,
            workload=self.build(3600 * hours, 11),
            conditions=replace(conditions, **self.conditions),
        )


def tune(name: str, build: Build, **fields: Any) -> Scenario:
    """Give a workload to choose constants by."""
    return Scenario(name=name, part=Part.TUNE, build=build, **fields)


def judge(name: str, build: Build, **fields: Any) -> Scenario:
    """Give a workload that no constant was chosen by."""
    return Scenario(name=name, part=Part.JUDGE, build=build, **fields)


def several(low: int, high: int) -> Callable[[random.Random], int]:
    """Give a number of jobs."""
    return lambda rng: rng.randint(low, high)


def two_kinds(rng: random.Random, _: float) -> float:
    """Give a mixture: nine short jobs to a long one."""
    return rng.expovariate(1 / 20.0) if rng.random() < 0.1 else rng.expovariate(1 / 0.5)


def drifting(rng: random.Random, at_s: float) -> float:
    """Give jobs whose mean grows from 1 to 4 s within 40 minutes, over and over."""
    return rng.expovariate(1 / (1 + 3 * (at_s % 2400) / 2400))


ORDINARY = (
    tune("steps", stream(levels(2400, 2, 20), 20, sized())),
    tune("slow-ramp", stream(wave(3600, 2, 30), 30, sized())),
    tune("spikes", stream(spikes(4, 900, 30, 60), 60, sized())),
    tune("switching", switching((2, 15), 120, sized())),
    tune("heavy-tail", stream(lambda _: 5.0, 5, sized(2, 4))),
    tune("each-minute", both(stream(lambda _: 2.0, 2, sized()), batches(every(60), several(60, 60), sized()))),
    tune("load-balancer", counted("elb", 25, 3, sized(6))),
    tune("code-model", events("azure", "generated_tokens", 0.05)),
    judge("flat", stream(lambda _: 10.0, 10, sized())),
    judge("down-and-up", stream(levels(3600, 25, 5, 15), 25, sized(1.5, 0.5))),
    judge("saw", stream(ramp(1500, 1, 25), 25, sized())),
    judge("growth", stream(growth(1800, 2, 10), 20, sized())),
    judge("two-waves", stream(lambda t: wave(3000, 1, 12)(t) + wave(700, 0, 8)(t), 20, sized())),
    judge("switching-fast", switching((1, 25), 45, sized(1.5))),
    judge("batches", batches(now_and_then(240), several(50, 350), sized())),
    judge("five-minute-clock", both(stream(lambda _: 3.0, 3, sized()), batches(every(300), several(250, 250), sized()))),
    judge("heavy-tail-slow", stream(lambda _: 3.0, 3, sized(5, 3))),
    judge("tiny-jobs", stream(wave(2400, 10, 60), 60, sized(0.3))),
    judge("two-kinds", stream(levels(1800, 4, 12), 12, two_kinds)),
    judge("growing-jobs", stream(lambda _: 8.0, 8, drifting)),
    judge("short-spikes", stream(spikes(1, 420, 8, 100), 100, sized(1))),
    judge("taxi", counted("taxi", 75, 9, sized())),
    judge("tweets", counted("tweets", 25, 6, sized(3))),
)  # fmt: skip

LONG = (
    tune("minute-jobs", stream(wave(3600, 0.1, 0.8), 0.8, sized(60)), kind="long"),
    judge("ninety-seconds", stream(levels(3600, 0.2, 0.6), 0.6, sized(90, 1.5)), kind="long"),
    judge("five-minutes", stream(wave(7200, 0.05, 0.25), 0.25, sized(300, 0.3)), kind="long", hours=4),
)  # fmt: skip

OVERLOAD_S = (1200.0, 4800.0)


def overload(low: float, high: float, size_s: float = 2.0) -> Build:
    """Give a load that rises above what the database can serve, and falls again."""
    first_s, last_s = OVERLOAD_S
    rate = lambda at_s: high if first_s <= at_s < last_s else low  # noqa: E731 - a shape
    return stream(rate, high, sized(size_s))


def knee(pods: float, **fields: Any) -> Curve:
    """Give a database that serves no more than `pods` pods at once."""
    return Curve(knee=pods * SLOTS, **fields)


def saturated(name: str, part: Part, pods: float, build: Build, **fields: Any) -> Scenario:
    """Give a saturation by the load."""
    curve = knee(pods, **fields)
    return Scenario(
        name=name, part=part, build=build, conditions={"curve": curve}, kind="saturated", knee_pods=pods
    )  # fmt: skip


def slower(name: str, part: Part, factor: float, ramp_s: float) -> Scenario:
    """Give jobs that honestly take longer from 30 minutes on: more pods do help."""

    def size(rng: random.Random, at_s: float) -> float:
        share = min(max((at_s - 1800) / ramp_s, 0.0), 1.0)
        return rng.expovariate(1 / (2 * (1 + (factor - 1) * share)))

    return Scenario(name=name, part=part, build=stream(lambda _: 6.0, 6, size), kind="honest")


SATURATED = (
    saturated("knee-6", Part.TUNE, 6, overload(6, 20)),
    saturated("falling-6", Part.TUNE, 6, overload(6, 20), decline=0.1),
    saturated("knee-10", Part.JUDGE, 10, overload(10, 30)),
    saturated("knee-8-long", Part.JUDGE, 8, overload(1.6, 5, 10)),
    saturated("falling-12", Part.JUDGE, 12, overload(12, 36), decline=0.1),
    saturated("partial-8", Part.JUDGE, 8, overload(8, 25), share=0.6),
    saturated("partial-6", Part.TUNE, 6, overload(6, 20), share=0.6),
)
EXTERNAL_S = (2400.0, 3900.0)
EXTERNAL = tuple(
    Scenario(
        name=f"external-{pods}",
        part=part,
        build=stream(lambda _, rate=rate: rate, rate, sized()),  # type: ignore[misc]
        conditions={"curve": knee(pods, window=Window(from_s=EXTERNAL_S[0], until_s=EXTERNAL_S[1]))},
        kind="external",
        knee_pods=pods,
    )
    for pods, rate, part in ((3, 10.0, Part.TUNE), (4, 16.0, Part.JUDGE), (8, 26.0, Part.JUDGE))
)  # fmt: skip
HONEST = (
    slower("honest-x3", Part.TUNE, 3, 1),
    slower("honest-x5-ramp", Part.TUNE, 5, 300),
    slower("honest-x2", Part.JUDGE, 2, 1),
    slower("honest-x4", Part.JUDGE, 4, 1),
    slower("honest-x3-ramp", Part.JUDGE, 3, 300),
)

CRON = (
    ("cron-5-min", Part.TUNE, 300.0, 150, 2.0),
    ("cron-15-min", Part.JUDGE, 900.0, 200, 2.0),
    ("cron-10-min", Part.JUDGE, 600.0, 100, 1.0),
)


def cron(name: str, part: Part, gap_s: float, jobs: int, base: float, *, told: bool) -> Scenario:
    """Give lumps on a schedule beside a base stream, announced or not."""
    lumps = batches(every(gap_s), several(jobs, jobs), sized(), announced=told)
    return Scenario(
        name=name if told else f"{name}-untold",
        part=part,
        build=both(stream(lambda _: base, base, sized()), lumps),
        kind="announced" if told else "untold",
    )


ANNOUNCED = tuple(cron(*fields, told=told) for fields in CRON for told in (True, False))

SPARSE = (
    tune("each-10-min", batches(every(600, 0.02), several(1, 4), sized(10)), lowest=0, kind="sparse", hours=8),
    judge("each-30-min", batches(every(1800, 0.02), several(1, 4), sized(10)), lowest=0, kind="sparse", hours=12),
    judge("each-20-min", batches(every(1200, 0.02), several(1, 4), sized(10)), lowest=0, kind="sparse", hours=12),
    judge("bursts-from-zero", batches(now_and_then(1800), several(8, 60), sized(5)), lowest=0, kind="from-zero", hours=8),
)  # fmt: skip

FAULT_S = (1200.0, 2400.0)
FAULTY = (
    tune("no-pod-starts", stream(levels(1800, 2, 20), 20, sized()), kind="no-start", conditions={"start_faults": (StartFault(window=Window(from_s=600, until_s=1800)),)}),
    judge("none-starts-from-5", stream(levels(2400, 5, 30), 30, sized()), kind="no-start", conditions={"start_faults": (StartFault(window=Window(from_s=FAULT_S[0], until_s=FAULT_S[1])),)}),
    judge("four-in-ten-fail", stream(wave(2400, 4, 20), 20, sized()), kind="fault", conditions={"start_faults": (StartFault(window=Window(from_s=FAULT_S[0], until_s=4800), share=0.4),)}),
    tune("stuck", stream(lambda _: 5.0, 5, sized()), kind="stuck", conditions={"stuck": (StuckJobs(at_s=600, jobs=200),)}),
    judge("stuck-twice", stream(wave(2400, 3, 12), 12, sized()), kind="stuck", conditions={"stuck": (StuckJobs(at_s=900, jobs=40), StuckJobs(at_s=3000, jobs=900))}),
    tune("silent-15-min", stream(wave(3600, 2, 12), 12, sized()), kind="silent", conditions={"telemetry_gaps": (Window(from_s=1800, until_s=2700),)}),
    judge("silent-now-and-then", stream(levels(1800, 4, 14), 14, sized()), kind="silent", conditions={"telemetry_gaps": tuple(Window(from_s=at, until_s=at + 120) for at in range(600, 7200, 700))}),
    judge("uneven-start-up", stream(levels(1800, 3, 18), 18, sized()), kind="fault", conditions={"start_up": Lognormal(mean_s=15.0, cv=1.0)}),
)  # fmt: skip

ALL = (*ORDINARY, *LONG, *SATURATED, *EXTERNAL, *HONEST, *ANNOUNCED, *SPARSE, *FAULTY)
