"""One scenario at one setting: ours, and the rivals that its goals name."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.scenarios.catalogue import ALL, EXTERNAL_S, FAULT_S, OVERLOAD_S, Scenario

from queueworker_operator.decision.model import Saturation
from queueworker_operator.simulate.compare import cheapest, run_best
from queueworker_operator.simulate.dbc import Dbc, Memory
from queueworker_operator.simulate.keda import Keda
from queueworker_operator.simulate.policies import POLICIES, Case, tuned_keda
from queueworker_operator.simulate.policy import Seen
from queueworker_operator.simulate.result import Figures, Outcome
from queueworker_operator.simulate.run import simulate

TARGETS = (0.4, 0.6, 0.8, 1.0, 1.5, 2.5)
WINDOWS_S = (0.0, 60.0, 120.0, 300.0)
RATE_TARGETS = (0.6, 0.8, 0.95)
FORGIVEN = 0.01
GUARDED = {"saturated", "external", "honest"}
ANY, TWO = "depth", "rate"
SETTLES_S = 600.0
SATURATED = "Saturated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A promise and how fast pods start."""

    name: str
    promise_s: float
    start_up: str


SETTINGS = (
    Setting(name="30 s", promise_s=30.0, start_up="typical"),
    Setting(name="5 s", promise_s=5.0, start_up="typical"),
    Setting(name="30 s, slow pods", promise_s=30.0, start_up="slow"),
)
BUFFERED, TIGHT, SLOW = SETTINGS
PATIENT = Setting(name="120 s", promise_s=120.0, start_up="typical")
SETTINGS_BY_NAME = {setting.name: setting for setting in (*SETTINGS, PATIENT)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What to measure: ours, or (`rivals`) what ours is compared with, a sweep of KEDAs included.

    The two are apart: a controller that was changed needs no rival measured again.
    """

    scenario: str
    setting: Setting
    rivals: bool
    hours: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Figures by policy; `pods` is the mean of ours in the window that counts.

    `saturated_s` are the first and the last second at which ours said so; `calm` is ours on the
    same jobs without the stuck ones; `unguarded` is ours without the guard against saturation, and
    `unguarded_pods` its pods.
    """

    task: Task
    figures: dict[str, Figures]
    pods: float = 0.0
    saturated_s: tuple[float, float] | None = None
    calm: Figures | None = None
    unguarded: Figures | None = None
    unguarded_pods: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """Ours, with an ear on its reasons."""

    ours: Dbc
    heard: list[float] = field(default_factory=list)
    name: str = "dbc"
    drains: bool = True

    def begin(self, seed: int) -> Memory:
        return self.ours.begin(seed)

    def step(self, memory: Memory, seen: Seen) -> tuple[int, Memory]:
        decision, memory = self.ours.decide(memory, seen)
        if decision.reason.value == SATURATED:
            self.heard.append(seen.at_s)
        return decision.desired, memory


def scenario_of(name: str) -> Scenario:
    return next(scenario for scenario in ALL if scenario.name == name)


def measure(task: Task) -> Measured:
    """Run ours, or its rivals."""
    scenario, setting = scenario_of(task.scenario), task.setting
    case = scenario.case(promise_s=setting.promise_s, start_up=setting.start_up, hours=task.hours)
    if task.rivals:
        return Measured(task=task, figures=rivals(case))
    ours = Watched(ours=Dbc(policy=case.policy))
    outcome = simulate(case.workload, case.conditions, ours)
    start_s = outcome.moments[0].at_s
    heard = ours.heard
    epoch_s = 1_000_000.0 + start_s
    measured = Measured(
        task=task,
        figures={"dbc": outcome.figures},
        pods=mean_pods(scenario, outcome),
        saturated_s=(heard[0] - epoch_s, heard[-1] - epoch_s) if heard else None,
    )
    return _beside(measured, scenario, case)


def _beside(measured: Measured, scenario: Scenario, case: Case) -> Measured:
    """Add what ours does without stuck jobs, or without the guard."""
    if scenario.kind == "stuck":
        still = replace(case.conditions, stuck=())
        return replace(
            measured, calm=simulate(case.workload, still, Dbc(policy=case.policy)).figures
        )
    if scenario.kind in GUARDED:
        spend = Dbc(policy=replace(case.policy, saturation=Saturation.SPEND))
        off = simulate(case.workload, case.conditions, spend)
        return replace(measured, unguarded=off.figures, unguarded_pods=mean_pods(scenario, off))
    return measured


def rivals(case: Case) -> dict[str, Figures]:
    """Run KEDA at its example, a plan that knows the future, and every KEDA of the sweep."""
    made = [
        *(swept(case, name=f"{ANY} {t:g} {w:g}", target=t, window_s=w) for w in WINDOWS_S for t in TARGETS),
        *(swept(case, name=f"{TWO} {r:g} {w:g}", rate_target=r, window_s=w) for w in WINDOWS_S for r in RATE_TARGETS),
    ]  # fmt: skip
    runs = [simulate(case.workload, case.conditions, scaler) for scaler in made]
    known = ("keda", "clairvoyant")
    runs += [run_best(case, name, POLICIES[name](case)) for name in known]
    return {run.policy: run.figures for run in runs}


def best_in_hindsight(figures: Mapping[str, Figures], late: float) -> dict[str, Figures]:
    """Pick the cheapest KEDAs that are hardly later than us, of all and of those at 300 s."""
    all_of_it = [name for name in figures if name.startswith(("keda", ANY, TWO))]
    calm = [
        name for name in all_of_it if not name.startswith(TWO) and name.endswith(("keda", " 300"))
    ]
    forgiven = max(FORGIVEN, late)
    return {
        "keda-300": cheapest([figures[name] for name in calm], forgiven),
        "keda-any": cheapest([figures[name] for name in all_of_it], forgiven),
    }


def swept(case: Case, *, name: str, **fields: Any) -> Keda:
    return tuned_keda(case, name=name, **fields)


def joined(measured: Iterable[Measured]) -> list[Measured]:
    """Put ours and its rivals together, the best KEDAs picked."""
    of = {(one.task.scenario, one.task.setting.name, one.task.rivals): one for one in measured}
    found = []
    for (name, setting, rivals_too), ours in of.items():
        if rivals_too:
            continue
        beside = of.get((name, setting, True))
        figures = dict(ours.figures)
        if beside is not None:
            late = figures["dbc"].late_fraction
            figures |= beside.figures | best_in_hindsight(beside.figures, late)
        found.append(replace(ours, figures=figures))
    return found


def mean_pods(scenario: Scenario, outcome: Outcome) -> float:
    """Give the mean of our pods from 10 minutes into the trouble until its end."""
    windows = {"saturated": OVERLOAD_S, "external": EXTERNAL_S, "no-start": FAULT_S}
    first_s, last_s = windows.get(scenario.kind, (0.0, 0.0))
    faults = scenario.conditions.get("start_faults", ())
    if faults:
        first_s, last_s = faults[0].window.from_s, faults[0].window.until_s
    pods = [m.pods for m in outcome.moments if first_s + SETTLES_S <= m.at_s < last_s]
    return sum(pods) / len(pods) if pods else 0.0
