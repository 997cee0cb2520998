"""PURE: which pod's worker wrote a row. The SQL function `end_lease` tells it the same way."""

from collections.abc import Collection, Sequence

from queueworker_operator.decision.model import PodId
from queueworker_operator.lag import WorkerState


def rows_of(
    rows: Sequence[WorkerState], pods: Collection[PodId], *, shared: bool
) -> tuple[WorkerState, ...]:
    """Keep the rows of `pods`, whose names differ."""
    named = {pod.name: pod for pod in pods}
    return tuple(
        row for row in rows if row.pod in named and is_of(row, named[row.pod], shared=shared)
    )


def is_of(row: WorkerState, pod: PodId, *, shared: bool) -> bool:
    """Tell by the UID where both have one, else by the namespace.

    A row without a namespace is of the pod that it names, unless QueueWorkers of several namespaces
    have their workers in this database (`shared`): it could be anybody's then.
    """
    if row.pod != pod.name:
        return False
    if row.pod_uid and pod.uid:
        return row.pod_uid == pod.uid
    if not row.namespace:
        return not shared
    return row.namespace == pod.namespace
