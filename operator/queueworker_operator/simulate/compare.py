"""Several policies over one workload; of a policy with several candidates, the best in hindsight."""

from collections.abc import Callable, Sequence

from queueworker_operator.simulate.policies import POLICIES, Case
from queueworker_operator.simulate.policy import Scaler
from queueworker_operator.simulate.result import Outcome
from queueworker_operator.simulate.run import simulate

TOLERATED = 0.001

Told = Callable[[str, float], None]


def compare(case: Case, names: Sequence[str], tell: Told | None = None) -> list[Outcome]:
    """Run the policies of `names`; `tell` hears how far each is."""
    return [run_best(case, name, POLICIES[name](case), tell) for name in names]


def run_best(
    case: Case, name: str, candidates: Sequence[Scaler], tell: Told | None = None
) -> Outcome:
    """Run all candidates; give the cheapest that is hardly late, else the least late one."""
    outcomes: list[Outcome] = []
    for index, scaler in enumerate(candidates):

        def told(share: float, done: int = index) -> None:
            if tell is not None:
                tell(name, (done + share) / len(candidates))

        outcomes.append(simulate(case.workload, case.conditions, scaler, told))
    if tell is not None:
        tell(name, 1.0)
    return best(outcomes, TOLERATED)


def best(outcomes: Sequence[Outcome], tolerated: float) -> Outcome:
    """Give the cheapest of those at most `tolerated` late, else the least late."""
    good = [one for one in outcomes if one.figures.late_fraction <= tolerated]
    if good:
        return min(good, key=lambda one: one.figures.pod_hours)
    return min(outcomes, key=lambda one: (one.figures.late_fraction, one.figures.pod_hours))
