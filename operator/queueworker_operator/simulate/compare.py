"""Several policies over one workload; of a policy with several candidates, the best in hindsight."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from queueworker_operator.simulate.clairvoyant import Clairvoyant
from queueworker_operator.simulate.model import Conditions
from queueworker_operator.simulate.policies import Case, candidates
from queueworker_operator.simulate.policy import Scaler
from queueworker_operator.simulate.result import Figures, Outcome
from queueworker_operator.simulate.run import simulate

TOLERATED = 0.001

Told = Callable[[str, float], None]


def compare(case: Case, names: Sequence[str], tell: Told | None = None) -> list[Outcome]:
    """Run the policies of `names`; `tell` hears how far each is."""
    made = [(name, candidates(name, case)) for name in names]
    return [run_best(case, name, scalers, tell) for name, scalers in made]


def run_best(case: Case, name: str, scalers: Sequence[Scaler], tell: Told | None = None) -> Outcome:
    """Run the candidates, the cheapest first, until one is hardly late; give the best."""
    outcomes: list[Outcome] = []
    for index, scaler in enumerate(scalers):

        def told(share: float, done: int = index) -> None:
            if tell is not None:
                tell(name, (done + share) / len(scalers))

        outcomes.append(simulate(case.workload, conditions_of(case, scaler), scaler, told))
        if outcomes[-1].figures.late_fraction <= TOLERATED:
            break
    if tell is not None:
        tell(name, 1.0)
    return best(outcomes, TOLERATED)


def conditions_of(case: Case, scaler: Scaler) -> Conditions:
    """Give the conditions: who knows the future has its first pods ready when it begins."""
    if isinstance(scaler, Clairvoyant):
        return replace(case.conditions, pods=scaler.pods[0])
    return case.conditions


def best(outcomes: Sequence[Outcome], tolerated: float) -> Outcome:
    """Give the cheapest of those at most `tolerated` late, else the least late."""
    figures = cheapest([one.figures for one in outcomes], tolerated)
    return next(one for one in outcomes if one.figures is figures)


def cheapest(figures: Sequence[Figures], tolerated: float) -> Figures:
    """Give the cheapest figures at most `tolerated` late, else the least late."""
    good = [one for one in figures if one.late_fraction <= tolerated]
    if good:
        return min(good, key=lambda one: one.pod_hours)
    return min(figures, key=lambda one: (one.late_fraction, one.pod_hours))
