"""One scenario at one setting: ours, and the rivals that its goals name."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.scenarios.catalogue import ALL, EXTERNAL_S, FAULT_S, OVERLOAD_S, Scenario

from queueworker_operator.simulate.compare import best, run_best
from queueworker_operator.simulate.dbc import Dbc, Memory
from queueworker_operator.simulate.keda import Keda
from queueworker_operator.simulate.policies import POLICIES, Case, tuned_keda
from queueworker_operator.simulate.policy import Scaler, Seen
from queueworker_operator.simulate.result import Figures, Outcome
from queueworker_operator.simulate.run import simulate

TARGETS = (0.4, 0.6, 0.8, 1.0, 1.5, 2.5)
WINDOWS_S = (0.0, 60.0, 120.0, 300.0)
RATE_TARGETS = (0.6, 0.8, 0.95)
FORGIVEN = 0.01
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What to measure; `rivals` also sweeps KEDA in hindsight."""

    scenario: str
    setting: Setting
    rivals: bool
    hours: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Figures by policy; `pods` is the mean of ours in the window that counts.

    `saturated_s` are the first and the last second at which ours said so; `calm` is ours on the
    same jobs without what disturbs them.
    """

    task: Task
    figures: dict[str, Figures]
    pods: float = 0.0
    saturated_s: tuple[float, float] | None = None
    calm: Figures | None = None


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
    """Run ours, and what its goals compare it with."""
    scenario, setting = scenario_of(task.scenario), task.setting
    case = scenario.case(promise_s=setting.promise_s, start_up=setting.start_up, hours=task.hours)
    ours = Watched(ours=Dbc(policy=case.policy))
    outcome = simulate(case.workload, case.conditions, ours)
    figures = {"dbc": outcome.figures}
    if task.rivals:
        figures |= rivals(case, outcome.figures.late_fraction)
    calm = None
    if scenario.kind in {"stuck", "saturated"}:
        still = replace(case.conditions, stuck=(), curve=None)
        calm = simulate(case.workload, still, Dbc(policy=case.policy)).figures
    start_s = outcome.moments[0].at_s
    heard = ours.heard
    epoch_s = 1_000_000.0 + start_s
    return Measured(
        task=task,
        figures=figures,
        pods=mean_pods(scenario, outcome),
        saturated_s=(heard[0] - epoch_s, heard[-1] - epoch_s) if heard else None,
        calm=calm,
    )


def rivals(case: Case, late: float) -> dict[str, Figures]:
    """Run KEDA at its example, the plan, and the best KEDAs in hindsight: hardly later than us."""
    forgiven = max(FORGIVEN, late)
    one = [swept(case, target=t, window_s=w) for w in WINDOWS_S for t in TARGETS]
    both = [swept(case, rate_target=r, window_s=w) for w in WINDOWS_S for r in RATE_TARGETS]
    example = run_best(case, "keda", POLICIES["keda"](case))
    runs = runs_of(case, one)
    calm = [run for scaler, run in zip(one, runs, strict=True) if scaler.hpa.down_window_s >= 300]
    return {
        "keda": example.figures,
        "clairvoyant": run_best(case, "clairvoyant", POLICIES["clairvoyant"](case)).figures,
        "keda-300": best([*calm, example], forgiven).figures,
        "keda-any": best([*runs, *runs_of(case, both), example], forgiven).figures,
    }


def swept(case: Case, **fields: Any) -> Keda:
    return tuned_keda(case, name="swept", **fields)


def runs_of(case: Case, scalers: Sequence[Scaler]) -> list[Outcome]:
    return [simulate(case.workload, case.conditions, scaler) for scaler in scalers]


def mean_pods(scenario: Scenario, outcome: Outcome) -> float:
    """Give the mean of our pods from 10 minutes into the trouble until its end."""
    windows = {"saturated": OVERLOAD_S, "external": EXTERNAL_S, "no-start": FAULT_S}
    first_s, last_s = windows.get(scenario.kind, (0.0, 0.0))
    faults = scenario.conditions.get("start_faults", ())
    if faults:
        first_s, last_s = faults[0].window.from_s, faults[0].window.until_s
    pods = [m.pods for m in outcome.moments if first_s + SETTLES_S <= m.at_s < last_s]
    return sum(pods) / len(pods) if pods else 0.0
