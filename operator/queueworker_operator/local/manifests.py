"""Read the Deployment and QueueWorker manifests of a folder."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from queueworker_operator.decision.model import Policy
from queueworker_operator.documents import Body, documents, refuse_unknown
from queueworker_operator.errors import InvalidResource
from queueworker_operator.resource import (
    KIND,
    ResourceSpec,
    key_of,
    parse,
    slots_of,
)

SUFFIXES = (".yaml", ".yml")
USED_POD_FIELDS = {"containers", "terminationGracePeriodSeconds"}
USED_CONTAINER_FIELDS = {"name", "image", "imagePullPolicy", "command", "args", "env"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A QueueWorker with the Deployment that it scales, and the container to run."""

    resource: ResourceSpec
    policy: Policy
    deployment: Body
    container: Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifests:
    """What a folder asks for, and what of it has no meaning on one machine."""

    folder: Path
    workloads: tuple[Workload, ...]
    ignored: tuple[str, ...]


def read_manifests(folder: Path) -> Manifests:
    """Read all YAML files of `folder`.

    Raises:
        InvalidResource: names the file or object, what is wrong and what to do.
    """
    if not folder.is_dir():
        raise InvalidResource(f"{folder} is not a folder: give the one with your manifests")
    bodies = [body for file in _files(folder) for body in documents(file)]
    deployments = {key_of(body): body for body in bodies if body.get("kind") == "Deployment"}
    workers = [body for body in bodies if body.get("kind") == KIND]
    if not workers:
        raise InvalidResource(f"{folder} holds no {KIND} manifest: add one beside its Deployment")
    workloads = tuple(_workload(body, deployments) for body in workers)
    _refuse_shared_targets(workloads)
    others = {str(body.get("kind")) for body in bodies} - {"Deployment", KIND}
    return Manifests(
        folder=folder,
        workloads=workloads,
        ignored=(*sorted(others), *_unused_fields(workloads)),
    )


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix in SUFFIXES)


def _workload(body: Body, deployments: Mapping[str, Body]) -> Workload:
    name = body["metadata"]["name"]
    refuse_unknown(name, body)
    try:
        resource = parse(body)
    except InvalidResource as exc:
        raise InvalidResource(f"QueueWorker {name}: {exc}", reason=exc.reason) from exc
    target = resource.target_name
    deployment = deployments.get(f"{resource.namespace}/{target}")
    if deployment is None:
        raise InvalidResource(
            f"QueueWorker {resource.name} scales Deployment {target}, which is not in this folder "
            f"in namespace {resource.namespace}: add it"
        )
    try:
        container = _container(deployment, target)
        slots = slots_of(deployment)
    except (AttributeError, KeyError, TypeError) as exc:
        raise InvalidResource(
            f"Deployment {target} is not shaped like one: kubectl apply --dry-run=server says where"
        ) from exc
    return Workload(
        resource=resource,
        policy=replace(resource.policy, default_slots=slots) if slots else resource.policy,
        deployment=deployment,
        container=container,
    )


def _container(deployment: Body, name: str) -> Body:
    containers = _pod_spec(deployment).get("containers") or ()
    if not containers:
        raise InvalidResource(f"Deployment {name} has no container: add one with a command")
    container: Body = containers[0]
    if any("name" not in entry for entry in container.get("env") or ()):
        raise InvalidResource(f"Deployment {name} has an env entry without a name: add it")
    if not isinstance(container.get("command"), list) or not container["command"]:
        raise InvalidResource(
            f"Deployment {name} gives no command: without the image it must say what to run, "
            "for example command: [queueworker, worker, --app, tasks:app]"
        )
    return container


def _pod_spec(deployment: Body) -> Body:
    template = (deployment.get("spec") or {}).get("template") or {}
    return template.get("spec") or {}


def _refuse_shared_targets(workloads: tuple[Workload, ...]) -> None:
    owners: dict[str, str] = {}
    for workload in workloads:
        target, name = workload.resource.target_name, workload.resource.name
        if target in owners:
            raise InvalidResource(
                f"QueueWorkers {owners[target]} and {name} scale the same Deployment {target}: "
                "keep one of them"
            )
        owners[target] = name


def _unused_fields(workloads: tuple[Workload, ...]) -> list[str]:
    """Name what Kubernetes would act on and this machine does not."""
    names: set[str] = set()
    for workload in workloads:
        pod = _pod_spec(workload.deployment)
        names |= set(pod) - USED_POD_FIELDS
        names |= set(workload.container) - USED_CONTAINER_FIELDS
        if len(pod["containers"]) > 1:
            names.add("further containers")
    return sorted(names)
