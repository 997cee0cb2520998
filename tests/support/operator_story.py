"""What operators wrote in a namespace, collected for the checker: sizes, decisions, bounds."""

from collections.abc import Collection
from typing import Any

from tests.support.history.operator import Broken, Recorded, Story, Write, check
from tests.support.postgres import Connection
from tests.support.size_watch import Namespace, SizeWatch

from queueworker_operator.controller.record import replay

DECISIONS = "SELECT extract(epoch FROM decided_at)::float8, name, record FROM queueworker.decision ORDER BY id"


def written(place: Namespace, sizes: SizeWatch) -> list[Write]:
    """Give the operators' writes as the watch showed them."""
    before: dict[str, int] = {}
    found = []
    for size in tuple(sizes.sizes):
        if size.is_ours:
            found.append(
                Write(
                    target=f"{place.namespace}/{size.name}",
                    at_s=size.at_s,
                    before=before.get(size.name, 0),
                    replicas=size.replicas,
                    version=size.version,
                )
            )
        before[size.name] = size.replicas
    return found


def story(
    place: Namespace,
    sizes: SizeWatch,
    conns: Collection[Connection],
    writes: Collection[Write],
    **more: Any,
) -> Story:
    """Put the writes beside what the databases have recorded and the resources allowed last."""
    targets: dict[str, str] = {}
    bounds: dict[str, tuple[int, int]] = {}
    for name, body in sizes.queue_workers.items():
        spec, key = body["spec"], f"{place.namespace}/{name}"
        target = targets[key] = f"{place.namespace}/{spec['scaleTargetRef']['name']}"
        least, most = bounds.get(target, (spec["minReplicas"], spec["maxReplicas"]))
        bounds[target] = (min(least, spec["minReplicas"]), max(most, spec["maxReplicas"]))
    decisions = [
        Recorded(target=targets[key], at_s=at_s, record=record)
        for conn in conns
        for at_s, key, record in conn.execute(DECISIONS)
        if key in targets
    ]
    known = [write for write in writes if write.target in bounds]
    told: dict[str, Any] = {"writes": known, "decisions": decisions, "bounds": bounds}
    return Story(**(told | more))


def broken(told: Story) -> list[Broken]:
    """Give the promises of O1 to O7 that were broken."""
    return check(told, lambda record: replay(record).desired)
