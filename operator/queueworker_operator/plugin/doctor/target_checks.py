"""PURE: the Deployment, its pods, and who else writes to it."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from queueworker_operator.kube.api import FIELD_MANAGER
from queueworker_operator.kube.looks import SCALED_OBJECT
from queueworker_operator.kube.signature import signed_at
from queueworker_operator.plugin.doctor.facts import Body, Facts, NotKnown
from queueworker_operator.plugin.doctor.finding import Finding, fail, fine, warn
from queueworker_operator.plugin.tree import pods_of
from queueworker_operator.target.objects import deployment_of, ends_of, statuses_of
from queueworker_operator.text import counted

SHELLS = {"sh", "bash", "ash", "dash"}
STUCK = {
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
}
BY_HAND = "kubectl"
GRACE_OPTION = re.compile(r"--grace[ =](\S+)")
AMPLE = 3
LATELY_S = 900.0  # an operator writes each status once in five minutes, if its numbers move


def target(facts: Facts) -> Finding:
    """Is there the Deployment, and does its selector find its pods?"""
    if facts.deployment.missing:
        return fail(
            f"deployment {facts.target} does not exist in namespace {facts.namespace}",
            f"{facts.kubectl} get deployments",
        )
    deployment = facts.deployment.get()
    asked = deployment_of(deployment, None).replicas
    found = len(pods_of(deployment, facts.pods.get()))
    if asked and not found:
        return fail(
            f"{counted(asked, 'pod is', 'pods are')} asked for, and none matches the selector",
            f"{facts.kubectl} describe deployment {facts.target}",
        )
    return fine(f"deployment {facts.target}: {asked} asked for, {found} found")


def pods(facts: Facts) -> Finding:
    """Does a pod fail to start, or start over and over?"""
    mine = pods_of(facts.deployment.get(), facts.pods.get())
    stuck = [(pod, why) for pod in mine if (why := _stuck(pod))]
    if stuck:
        name = stuck[0][0]["metadata"]["name"]
        also = f" (and {len(stuck) - 1} more)" if len(stuck) > 1 else ""
        return fail(
            f"{name} does not run: {stuck[0][1]}{also}", f"{facts.kubectl} describe pod {name}"
        )
    again = [pod for pod in mine if any(map(ends_of, statuses_of(pod)))]
    if again:
        name = again[0]["metadata"]["name"]
        return warn(
            f"{len(again)} of {counted(len(mine), 'pod has', 'pods have')} restarted",
            f"{facts.kubectl} logs {name} --previous --tail 50",
        )
    return fine(f"{counted(len(mine), 'pod')}, none stuck or restarted")


def _stuck(pod: Body) -> str:
    """Say why a pod does not run; empty when it does."""
    status = pod.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return f"Unschedulable: {condition.get('message', '')}"
    for container in statuses_of(pod):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in STUCK:
            return str(waiting["reason"])
    return ""


def rivals(facts: Facts) -> Finding:
    """Does anybody else set the replicas, or claim the queues?"""
    dry = facts.spec.get("mode") == "DryRun"
    if len(operators := _operators(facts)) > 1:
        return fail(
            f"the operators of {len(operators)} namespaces serve it: {', '.join(operators)}",
            "helm list --all-namespaces    # uninstall one, or take the namespace out of its watchNamespaces",
        )
    for scaler in facts.scalers.get():
        if _scales(scaler, facts.target):
            kind, name = _cause(scaler)
            told = f"{kind} {name} scales deployment {facts.target} too"
            if dry:
                return fine(f"{told}: this one only looks on (DryRun)")
            return fail(told, f"{facts.kubectl} delete {kind.lower()} {name}")
    if not dry and (other := _overlap(facts)):
        return other
    writer = deployment_of(facts.deployment.get(), None).writer
    ours = writer is None or writer == FIELD_MANAGER or writer.startswith(BY_HAND)
    if not ours and not dry:
        return warn(
            f"{writer} wrote spec.replicas last: if it does so again and again, it is a rival",
            f"{facts.kubectl} get deployment {facts.target} -o yaml --show-managed-fields",
        )
    return fine("nobody else scales the target or serves the queues")


def _operators(facts: Facts) -> list[str]:
    """Name the namespaces of the operators that have written the status lately."""
    since_s = facts.cluster.now_s - LATELY_S
    written = signed_at(facts.body).items()
    return sorted(name for name, at in written if datetime.fromisoformat(at).timestamp() > since_s)


def _scales(scaler: Mapping[str, Any], name: str) -> bool:
    reference = (scaler.get("spec") or {}).get("scaleTargetRef") or {}
    return reference.get("kind", "Deployment") == "Deployment" and reference.get("name") == name


def _cause(scaler: Body) -> tuple[str, str]:
    """Give kind and name of what has to go: KEDA makes the HPA of a ScaledObject anew."""
    for owner in scaler["metadata"].get("ownerReferences") or ():
        if owner.get("controller") and owner["kind"] == SCALED_OBJECT:
            return owner["kind"], owner["name"]
    return scaler["kind"], scaler["metadata"]["name"]


def _overlap(facts: Facts) -> Finding | None:
    """Find another QueueWorker that acts on the same target, or the same queue of the same Secret."""
    for other in facts.queue_workers.get():
        spec, name = other.get("spec") or {}, str(other["metadata"]["name"])
        if name == facts.name or spec.get("mode") == "DryRun":
            continue
        delete = f"{facts.kubectl} delete queueworker {_younger(facts, other)}"
        if (spec.get("scaleTargetRef") or {}).get("name") == facts.target:
            return fail(f"QueueWorker {name} scales deployment {facts.target} too", delete)
        shared = sorted(set(spec.get("queues") or ()) & set(facts.spec.get("queues") or ()))
        if shared and spec.get("database") == facts.spec.get("database"):
            return fail(f"QueueWorker {name} serves queue {shared[0]} too", delete)
    return None


def _younger(facts: Facts, other: Body) -> str:
    """Name the one that came later: the operator lets the older one act."""
    mine = str(facts.body["metadata"].get("creationTimestamp") or "")
    theirs = str(other["metadata"].get("creationTimestamp") or "")
    return facts.name if theirs and mine > theirs else str(other["metadata"]["name"])


def grace(facts: Facts) -> Finding:
    """Is the time between SIGTERM and SIGKILL longer than the jobs, and does the worker know it?"""
    grace_s = deployment_of(facts.deployment.get(), None).grace_s
    told_s = max(_graces_told(facts.deployment.get()), default=0.0)
    if told_s > grace_s:
        return fail(
            f"the worker is told a grace of {told_s:g}s, the pod has {grace_s:g}s: SIGKILL comes in mid job",
            _patch(facts, math.ceil(told_s)),
        )
    service_s = (facts.status.get("backlog") or {}).get("serviceSeconds")
    if service_s is not None and service_s > grace_s:
        told = (
            f"the grace is {grace_s:g}s, a job takes {service_s:.3g}s: each scale-in cuts jobs off"
        )
        return fail(told, _longer(facts, service_s))
    oldest_s = max((one.oldest_start_age_s or 0.0 for one in facts.workers.get()), default=0.0)
    if oldest_s > grace_s:
        return warn(
            f"the grace is {grace_s:g}s, a job runs for {oldest_s:.0f}s already: SIGTERM cuts it off",
            _longer(facts, oldest_s),
        )
    if service_s is None:
        raise NotKnown(f"the grace is {grace_s:g}s; no job was measured yet")
    told = f"the grace is {grace_s:g}s, a job takes {service_s:.3g}s on average"
    if service_s * AMPLE > grace_s:
        return warn(f"{told}: longer ones are cut off and start again", _longer(facts, service_s))
    return fine(told)


def _longer(facts: Facts, longest_s: float) -> str:
    """Give the command for a grace of three times the longest, in whole half minutes."""
    grace_s = int(-(-AMPLE * longest_s // 30) * 30)
    return f"{_patch(facts, grace_s)}    # and --grace {grace_s}"


def _patch(facts: Facts, grace_s: int) -> str:
    pod_spec = {"spec": {"terminationGracePeriodSeconds": grace_s}}
    return patched(facts, {"spec": {"template": pod_spec}})


def patched(facts: Facts, change: Body) -> str:
    """Give the command that changes the Deployment."""
    patch = json.dumps(change, separators=(",", ":"))
    return f"{facts.kubectl} patch deployment {facts.target} -p '{patch}'"


def _graces_told(deployment: Body) -> Iterator[float]:
    """Give what the containers are told by --grace and by QUEUEWORKER_GRACE_S, where it is a number."""
    for _, words in _commands(deployment):
        yield from _numbers(GRACE_OPTION.findall(" ".join(words)))
    for container in containers_of(deployment):
        entries = container.get("env") or ()
        yield from _numbers(
            entry.get("value") for entry in entries if entry.get("name") == "QUEUEWORKER_GRACE_S"
        )


def _numbers(texts: Iterable[object]) -> Iterator[float]:
    for text in texts:
        with suppress(ValueError):
            yield float(str(text))


def signals(facts: Facts) -> Finding:
    """Does SIGTERM reach the worker, or a shell that keeps it to itself?"""
    for name, words in _commands(facts.deployment.get()):
        if words and words[0].rpartition("/")[2] in SHELLS and "exec " not in " ".join(words):
            return warn(
                f"container {name} starts a shell: it does not pass SIGTERM on, workers die in mid job",
                f"{facts.kubectl} edit deployment {facts.target}    # command: [queueworker, worker, ...]",
            )
    return fine("no shell stands before the worker")


def containers_of(deployment: Body) -> Sequence[Body]:
    """Give the containers of its template."""
    template = (deployment.get("spec") or {}).get("template") or {}
    return (template.get("spec") or {}).get("containers") or ()


def _commands(deployment: Body) -> Iterator[tuple[str, list[str]]]:
    for container in containers_of(deployment):
        words = [*(container.get("command") or ()), *(container.get("args") or ())]
        yield str(container.get("name", "")), [str(word) for word in words]
