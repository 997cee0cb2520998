"""The policies by name, each at its documented settings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from queueworker_operator.decision.model import Policy
from queueworker_operator.documents import documents, refuse_unknown
from queueworker_operator.errors import InvalidResource, InvalidSettings
from queueworker_operator.resource import KIND, parse
from queueworker_operator.simulate import scaled_object
from queueworker_operator.simulate.clairvoyant import Reserve, plan
from queueworker_operator.simulate.dbc import Dbc
from queueworker_operator.simulate.hpa import Hpa
from queueworker_operator.simulate.keda import Keda
from queueworker_operator.simulate.kpa import Kpa
from queueworker_operator.simulate.model import Conditions, Workload
from queueworker_operator.simulate.policy import Scaler

RESERVES = tuple(
    Reserve(share=share, keep_s=keep_s, spare=spare)
    for share in (0.9, 0.6, 0.3)
    for keep_s in (30.0, 60.0, 150.0, 600.0)
    for spare in (0.0, 1.0, 2.0)
)
TUNED_UP_FACTOR = 101.0
TUNED_RATE_TARGET = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a policy is made for. The rivals may know the mean size; ours learns it.

    `starts_at_s` is the time (epoch seconds) at which the trace begins, None where nobody said.
    """

    policy: Policy
    workload: Workload
    conditions: Conditions
    starts_at_s: float | None = None


def ours(case: Case) -> Sequence[Scaler]:
    """Give deadline-budget control at its defaults."""
    return (_dbc(case, case.policy, "dbc"),)


def _dbc(case: Case, policy: Policy, name: str) -> Dbc:
    if policy.schedule and case.starts_at_s is None:
        raise InvalidSettings(
            f"{name}: spec.schedule needs to know when the trace begins: give --starts-at, such as "
            "2026-03-02T07:30+01:00"
        )
    return Dbc(policy=policy, name=name, starts_at_s=case.starts_at_s or 0.0)


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
        up_least=0,
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
    """Give plans with more and more reserve, the cheapest first."""
    bounds = (case.policy.min_replicas, case.policy.max_replicas)
    plans = {plan(case.workload, case.conditions, bounds, reserve) for reserve in RESERVES}
    return sorted(plans, key=lambda one: (sum(one.pods), one.pods))


POLICIES: dict[str, Callable[[Case], Sequence[Scaler]]] = {
    "dbc": ours,
    "keda": keda,
    "keda-tuned": tuned,
    "keda-two": two_triggers,
    "kpa": knative,
    "clairvoyant": clairvoyant,
}
SUFFIXES = (".yaml", ".yml")


def check(name: str) -> str:
    """Give `name` back when it is a policy or names a file of one.

    Raises:
        InvalidSettings: it is neither.
    """
    if name not in POLICIES and not name.endswith(SUFFIXES):
        known = ", ".join(POLICIES)
        raise InvalidSettings(f"there is no policy {name!r}: choose of {known}, or a file .yaml")
    return name


def candidates(name: str, case: Case) -> Sequence[Scaler]:
    """Give the policy of that name, or of the file of that name, ready to run.

    Raises:
        InvalidResource: the file holds none.
    """
    if name in POLICIES:
        return POLICIES[name](case)
    bodies = [body for body in documents(Path(name)) if body["kind"] in {KIND, scaled_object.KIND}]
    if len(bodies) != 1:
        raise InvalidResource(f"{name} must hold one {KIND} or {scaled_object.KIND}")
    (body,) = bodies
    if body["kind"] == scaled_object.KIND:
        return (scaled_object.read(body, Path(name).name),)
    refuse_unknown(name, body)
    policy = replace(parse(body).policy, default_slots=case.conditions.slots, slots_per_pod=None)
    return (_dbc(case, policy, Path(name).name),)
