"""Are all pods of a target known? Where the caches lack some, it is looked at afresh."""

from queueworker_operator.controller.watch import Looked, Watch
from queueworker_operator.decision.model import Replicas
from queueworker_operator.errors import TargetUnavailable
from queueworker_operator.target import Target

# A second later the list may be another; one that failed is asked for less often.
LOOK_EVERY_S, RETRY_S = 1.0, 5.0


async def all_known(watch: Watch, replicas: Replicas, wanted: int, now_s: float) -> Replicas | None:
    """Give the target of which `wanted` pods are to go with no pod unknown; None: nobody can tell now.

    Pods that the caches lack may not be born, or may be at work and untold: a watch hangs for a
    minute before it is noticed. Should the size be another by then, all is decided anew.
    """
    target = watch.assignment.target
    if not wanted or replicas.current <= len(target.pods()):
        return replicas
    if now_s - watch.looked.at_s < (RETRY_S if watch.looked.trouble else LOOK_EVERY_S):
        return None
    watch.looked = await look(target, now_s)
    fresh = target.read()
    if watch.looked.trouble or fresh is None or fresh.current != replicas.current:
        return None
    return None if fresh.rollout else fresh


async def look(target: Target, now_s: float) -> Looked:
    """Look at the target afresh; tell how that went."""
    try:
        await target.look()
    except TargetUnavailable as exc:
        return Looked(at_s=now_s, trouble=f"pods may be there that nobody told of: {exc}")
    return Looked(at_s=now_s)
