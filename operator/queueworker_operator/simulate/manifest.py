"""What a QueueWorker manifest says about the run: promise, bounds, slots, grace."""

from dataclasses import dataclass, replace
from pathlib import Path

from queueworker_operator.decision.model import Mode, Policy
from queueworker_operator.documents import Body, documents, refuse_unknown
from queueworker_operator.errors import InvalidResource
from queueworker_operator.resource import KIND, grace_s_of, parse, slots_of

DEFAULT_GRACE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The policy, always in mode Auto; `slots` None where neither manifest tells them."""

    name: str
    policy: Policy
    slots: int | None
    grace_s: float


def read_manifest(file: Path) -> Manifest:
    """Read the one QueueWorker of `file`, and its Deployment where that is in it.

    Raises:
        InvalidResource: names what is wrong and what to do.
    """
    bodies = list(documents(file))
    workers = [body for body in bodies if body.get("kind") == KIND]
    if len(workers) != 1:
        found = f"{len(workers)} of them" if workers else "none"
        raise InvalidResource(f"{file} must hold one {KIND}: it holds {found}")
    name = str(workers[0]["metadata"]["name"])
    refuse_unknown(name, workers[0])
    try:
        spec = parse(workers[0])
    except InvalidResource as exc:
        raise InvalidResource(f"QueueWorker {name}: {exc}", reason=exc.reason) from exc
    deployment = _deployment(bodies, spec.target_name)
    return Manifest(
        name=name,
        policy=replace(spec.policy, mode=Mode.AUTO, replicas=None),
        slots=spec.policy.slots_per_pod or (slots_of(deployment) if deployment else None),
        grace_s=grace_s_of(deployment) if deployment else DEFAULT_GRACE_S,
    )


def _deployment(bodies: list[Body], name: str) -> Body | None:
    return next(
        (
            body
            for body in bodies
            if body.get("kind") == "Deployment" and body["metadata"]["name"] == name
        ),
        None,
    )
