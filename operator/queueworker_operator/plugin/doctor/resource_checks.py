"""PURE: the definition, the resource, the operator, the promise."""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from queueworker_operator.errors import InvalidResource
from queueworker_operator.kube.signature import signed_at
from queueworker_operator.plugin.doctor.facts import Facts, NotKnown, policy_of
from queueworker_operator.plugin.doctor.finding import Finding, fail, fine, warn
from queueworker_operator.plugin.tree import age, ready_condition
from queueworker_operator.resource import SPEC_FIELDS, parse
from queueworker_operator.text import counted

OPERATORS = "kubectl get pods -A -l app.kubernetes.io/name=queueworker"
FAR_AHEAD_S, TOO_FAR_AHEAD_S = 2.0, 15.0


def definition(facts: Facts) -> Finding:
    """Is the installed definition as new as this program? An older one drops fields silently."""
    versions = facts.cluster.definition.get()["spec"]["versions"]
    schema = versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    lost = sorted(SPEC_FIELDS - set(schema))
    if lost:
        return fail(
            f"the installed definition does not know {', '.join(lost)}: they are dropped silently",
            "kubectl apply --server-side -f crds/queueworkers.queueworker.dev.yaml",
        )
    return fine(f"it knows all {len(SPEC_FIELDS)} fields of the spec")


def resource(facts: Facts) -> Finding:
    """Is the spec valid, and does the operator call it Ready?"""
    edit = f"{facts.kubectl} edit queueworker {facts.name}"
    try:
        parse(facts.body)
    except InvalidResource as exc:
        return fail(str(exc), edit)
    status = facts.status
    ready = ready_condition(status)
    watch = f"{facts.kubectl} get queueworker {facts.name} --watch"
    if ready is None:
        return fail("no operator has looked at it", OPERATORS)
    if status.get("observedGeneration") != facts.body["metadata"].get("generation"):
        return warn("the operator has not looked at the newest spec yet", watch)
    if ready["status"] != "True":
        why = f"kubectl queueworker status {facts.name} -n {facts.namespace}"
        return fail(f"not Ready: {ready['reason']}: {ready.get('message', '')}".rstrip(": "), why)
    if _is_left(facts):
        return warn("valid, and it was Ready when an operator last wrote its status", OPERATORS)
    return fine("valid, and Ready")


def _is_left(facts: Facts) -> bool:
    """Tell whether nobody keeps the status up to date; where that is not known, another check says so."""
    with suppress(NotKnown):
        tenure = _tenure(facts)
        return tenure is None or not tenure.held
    return False


def operator(facts: Facts) -> Finding:
    """Does the operator that wrote the status hold its Lease? Where none did: does any in the cluster?"""
    tenure = _tenure(facts)
    if tenure is None:
        return fail("no operator has ever held its Lease in this cluster", OPERATORS)
    where = f"in {tenure.namespace}"
    if math.isinf(tenure.since_s):
        return fail(f"the operator {where}, which wrote the status, has no Lease now", OPERATORS)
    ago = f"{age(max(0.0, tenure.since_s))} ago"
    if not tenure.held:
        return fail(
            f"no operator holds the Lease {where}; the last renewal was {ago}",
            f"kubectl -n {tenure.namespace} logs -l app.kubernetes.io/name=queueworker --tail 20",
        )
    return fine(f"{tenure.holder.partition('_')[0]} {where}, renewed {ago}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tenure:
    """The Lease of an operator; `since_s` is the age of its last renewal: endless where there is none."""

    namespace: str
    holder: str = ""
    since_s: float = math.inf
    lasts_s: float = 0.0

    @property
    def held(self) -> bool:
        """Whether it leads now."""
        return bool(self.holder) and self.since_s <= self.lasts_s + FAR_AHEAD_S


def _tenure(facts: Facts) -> _Tenure | None:
    """Give the Lease that counts: of who signed the status last, else the newest of all."""
    tenures = [_tenure_of(lease, facts.cluster.now_s) for lease in facts.cluster.leases.get()]
    signed = signed_at(facts.body)
    if signed:
        last = max(signed, key=signed.__getitem__)
        own = [tenure for tenure in tenures if tenure.namespace == last]
        return own[0] if own else _Tenure(namespace=last)
    return min(tenures, key=lambda tenure: tenure.since_s, default=None)


def _tenure_of(lease: Mapping[str, Any], now_s: float) -> _Tenure:
    spec = lease.get("spec") or {}
    at = spec.get("renewTime")
    return _Tenure(
        namespace=str(lease["metadata"]["namespace"]),
        holder=str(spec.get("holderIdentity") or ""),
        since_s=now_s - (datetime.fromisoformat(at).timestamp() if at else 0.0),
        lasts_s=float(spec.get("leaseDurationSeconds") or 0),
    )


def promise(facts: Facts) -> Finding:
    """Can a pod that starts from nothing keep the promise?"""
    policy = policy_of(facts)
    start_up_s = (facts.status.get("backlog") or {}).get("startUpSeconds")
    if start_up_s is None:
        raise NotKnown("no start-up was measured yet")
    told = f"a start-up takes {start_up_s:g}s, the promise is {policy.start_within_s:g}s"
    if start_up_s < policy.start_within_s:
        return fine(told)
    if policy.min_replicas:
        always = counted(policy.min_replicas, "pod always runs", "pods always run")
        return fine(f"{told}; {always}")
    patch = '{"spec":{"minReplicas":1}}'
    return warn(
        f"{told}: from zero pods the first jobs are late",
        f"{facts.kubectl} patch queueworker {facts.name} --type merge -p '{patch}'",
    )


def clock(facts: Facts) -> Finding:
    """Do the database's clock and this machine's agree? Deadlines are by the database's."""
    ahead_s = facts.clock_ahead_s.get()
    told = f"the database's clock is {abs(ahead_s):.1f}s {'ahead of' if ahead_s > 0 else 'behind'} this machine's"
    remedy = "chronyc tracking    # on the database's host, and here"
    if abs(ahead_s) > TOO_FAR_AHEAD_S:
        return fail(told, remedy)
    return warn(told, remedy) if abs(ahead_s) > FAR_AHEAD_S else fine(told)
