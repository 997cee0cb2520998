"""PURE: what a pod's container runs on this machine, made of its manifest."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from queueworker_operator.errors import InvalidResource
from queueworker_operator.local.manifests import Workload
from queueworker_operator.target.pod import Command

Body = Mapping[str, Any]

DSN_VARIABLES = frozenset({"QUEUEWORKER_DSN", "QUEUEWORKER_LISTEN_DSN"})
REFERENCE = re.compile(r"\$\((\w+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What stands in for the cluster: the database, the node's name, this process's environment."""

    dsn: str
    node: str
    environment: Mapping[str, str]


def command_of(workload: Workload, pod: str, folder: Path, machine: Machine) -> Command:
    """Make the command of the pod named `pod`, run in `folder`.

    Raises:
        InvalidResource: a variable's value is not known on this machine; says how to give it.
    """
    given = {
        entry["name"]: value
        for entry in workload.container.get("env") or ()
        if (value := _value(entry, workload, pod, machine)) is not None
    }
    environment = {
        **machine.environment,
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": _path(str(folder), machine.environment.get("PYTHONPATH", "")),
        "QUEUEWORKER_LOG_FORMAT": "json",
        "QUEUEWORKER_POD_NAME": pod,
        "QUEUEWORKER_POD_NAMESPACE": workload.resource.namespace,
        **given,
        "QUEUEWORKER_DSN": machine.dsn,
        "QUEUEWORKER_PORT": "0",
    }
    words = (*workload.container["command"], *(workload.container.get("args") or ()))
    return Command(
        words=tuple(_expand(str(word), environment) for word in words),
        environment=environment,
        folder=folder,
    )


def _value(entry: Body, workload: Workload, pod: str, machine: Machine) -> str | None:
    if entry["name"] in DSN_VARIABLES:
        return machine.dsn
    source = entry.get("valueFrom")
    if source is None:
        return str(entry.get("value", ""))
    if "fieldRef" in source:
        return _field(source["fieldRef"].get("fieldPath", ""), workload, pod, machine)
    return _referenced(entry["name"], source, workload, machine)


def _field(path: str, workload: Workload, pod: str, machine: Machine) -> str | None:
    fields = {
        "metadata.name": pod,
        "metadata.namespace": workload.resource.namespace,
        "metadata.uid": "",  # processes have none
        "spec.nodeName": machine.node,
        "status.podIP": "127.0.0.1",
        "status.hostIP": "127.0.0.1",
    }
    return fields.get(path)


def _referenced(name: str, source: Body, workload: Workload, machine: Machine) -> str | None:
    """Take a Secret's or ConfigMap's value from this machine; the database's own is replaced."""
    secret: Body = source.get("secretKeyRef") or {}
    if secret.get("name") == workload.resource.secret_name:
        return machine.dsn
    if name in machine.environment:
        return machine.environment[name]
    reference: Body = secret or source.get("configMapKeyRef") or {}
    if reference.get("optional") or not reference:
        return None
    raise InvalidResource(
        f"Deployment {workload.resource.target_name} takes {name} from {reference.get('name')}, "
        f"which is not on this machine: export {name} before you start"
    )


def _expand(word: str, environment: Mapping[str, str]) -> str:
    """Replace `$(NAME)` as Kubernetes does; an unknown name stays as it is."""
    return REFERENCE.sub(lambda match: environment.get(match[1], match[0]), word)


def _path(first: str, rest: str) -> str:
    return f"{first}:{rest}" if rest else first
