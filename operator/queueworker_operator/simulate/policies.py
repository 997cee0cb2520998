"""The policies by name, each at its documented settings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from queueworker_operator.decision.model import Policy
from queueworker_operator.simulate.clairvoyant import Reserve, plan
from queueworker_operator.simulate.dbc import Dbc
from queueworker_operator.simulate.hpa import Hpa
from queueworker_operator.simulate.keda import Keda
from queueworker_operator.simulate.kpa import Kpa
from queueworker_operator.simulate.model import Conditions, Workload
from queueworker_operator.simulate.policy import Scaler

RESERVES = tuple(
    Reserve(share=share, keep_s=keep_s)
    for keep_s in (30.0, 60.0, 150.0, 600.0)
    for share in (0.9, 0.75, 0.5, 0.25)
)
TUNED_UP_FACTOR = 101.0
TUNED_RATE_TARGET = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a policy is made for. The rivals may know the mean size; ours learns it."""

    policy: Policy
    workload: Workload
    conditions: Conditions


def ours(case: Case) -> Sequence[Scaler]:
    """Give deadline-budget control at its defaults."""
    return (Dbc(policy=case.policy),)


def keda(case: Case) -> Sequence[Scaler]:
    """Give KEDA's documented Postgres example, all at defaults."""
    policy = case.policy
    hpa = Hpa(lowest=max(policy.min_replicas, 1), highest=policy.max_replicas)
    return (Keda(name="keda", slots=case.conditions.slots, hpa=hpa, lowest=policy.min_replicas),)


def tuned(case: Case) -> Sequence[Scaler]:
    """Give KEDA tuned for speed: poll 1 s, 10,000 % a sync, windows and cooldown of 60 s."""
    return (tuned_keda(case, name="keda-tuned"),)


def two_triggers(case: Case) -> Sequence[Scaler]:
    """Give the tuned KEDA with a second trigger on the arrival rate, and the true job size."""
    return (tuned_keda(case, name="keda-two", rate_target=TUNED_RATE_TARGET),)


def tuned_keda(
    case: Case,
    *,
    name: str,
    target: float = 1.0,
    rate_target: float = 0.0,
    window_s: float = 60.0,
) -> Keda:
    """Give one tuned KEDA; the sweeps in hindsight vary target and window."""
    policy = case.policy
    hpa = Hpa(
        lowest=max(policy.min_replicas, 1),
        highest=policy.max_replicas,
        down_window_s=window_s,
        up_factor=TUNED_UP_FACTOR,
        up_pods=0,
    )
    return Keda(
        name=name,
        slots=case.conditions.slots,
        hpa=hpa,
        target=target,
        rate_target=rate_target,
        service_s=case.workload.work_s / max(len(case.workload.at_s), 1),
        lowest=policy.min_replicas,
        poll_s=1.0,
        cooldown_s=60.0,
    )


def knative(case: Case) -> Sequence[Scaler]:
    """Give Knative's autoscaler at its defaults."""
    policy = case.policy
    slots = case.conditions.slots
    return (Kpa(slots=slots, lowest=policy.min_replicas, highest=policy.max_replicas),)


def clairvoyant(case: Case) -> Sequence[Scaler]:
    """Give plans with more and more reserve: the cheapest that keeps the promise counts."""
    bounds = (case.policy.min_replicas, case.policy.max_replicas)
    return [plan(case.workload, case.conditions, bounds, reserve) for reserve in RESERVES]


POLICIES: dict[str, Callable[[Case], Sequence[Scaler]]] = {
    "dbc": ours,
    "keda": keda,
    "keda-tuned": tuned,
    "keda-two": two_triggers,
    "kpa": knative,
    "clairvoyant": clairvoyant,
}
