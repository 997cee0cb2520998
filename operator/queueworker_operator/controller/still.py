"""Which QueueWorkers need no step now: nothing about them changed since one that left nothing to do.

They are decided again each 5 s, as time alone may change a decision (each 10 s where there is neither
job nor pod): a few at each tick.
"""

from collections.abc import Sequence
from dataclasses import replace

from queueworker_operator.controller.ports import Ports, Reading
from queueworker_operator.controller.record import Verdict
from queueworker_operator.controller.sampling import OBSERVE_TOLERANCE_S
from queueworker_operator.controller.watch import Seen, Watch
from queueworker_operator.decision.model import Mode
from queueworker_operator.decision.regime import OBSERVE_EVERY_S
from queueworker_operator.resource import in_force

# Of those that wait for their time alone, at most this share is stepped in one tick.
SHARE = 0.25
ASLEEP_EVERY_S = 10.0
LEAST = 20


def to_step(ports: Ports, watches: Sequence[Watch], reading: Reading) -> list[Watch]:
    """Choose who is stepped in this tick; the others count as read."""
    now_s = ports.clock()
    moving: list[Watch] = []
    due: list[tuple[float, Watch]] = []
    for watch in watches:
        if watch.seen is None or watch.seen != seen(ports, watch, reading):
            moving.append(watch)
            continue
        watch.sampled_at_s = reading.read_at_s
        ports.metrics.sampled(watch.assignment.key, reading.read_at_s)
        every_s = ASLEEP_EVERY_S if watch.seen.is_asleep else OBSERVE_EVERY_S
        if now_s - watch.seen.at_s >= every_s - OBSERVE_TOLERANCE_S:
            due.append((watch.seen.at_s, watch))
    most = max(LEAST, round(len(watches) * SHARE))
    oldest = sorted(due, key=lambda entry: entry[0])[:most]
    return [*moving, *(watch for _, watch in oldest)]


def seen(ports: Ports, watch: Watch, reading: Reading) -> Seen | None:
    """Give what a step looks at; None when it cannot be compared."""
    queues = watch.assignment.queues
    if reading.trouble is not None or not reading.lags.refused.keys().isdisjoint(queues):
        return None
    rows = [reading.lags.rows.get(queue) for queue in queues]
    revisions = tuple(None if row is None else row.revision for row in rows)
    if 0 in revisions:
        return None
    start_up = watch.state.start_up
    return Seen(
        at_s=ports.clock(),
        assignment=watch.assignment,
        may_write=ports.may_write(),
        floor=in_force(watch.assignment.policy, ports.wall_clock(), start_up.estimate_s).floor,
        stamp=watch.assignment.target.stamp(),
        revisions=revisions,
    )


def calmed(watch: Watch, verdict: Verdict, looked_at: Seen | None) -> Seen | None:
    """Give what a step looked at when it left nothing to do, and how long that may stand."""
    if looked_at is None or not is_calm(watch, verdict):
        return None
    sample, decision = verdict.sample, verdict.decision
    if decision.current or decision.desired or sample is None:
        return looked_at
    has_jobs = sample.ready or sample.running or any(sample.due_5s)
    return looked_at if has_jobs else replace(looked_at, is_asleep=True)


def is_calm(watch: Watch, verdict: Verdict) -> bool:
    """Tell whether a step left nothing to do, and nothing that the next tick would look after."""
    decision, replicas = verdict.decision, verdict.replicas
    if verdict.sample is None or watch.asked is not None or watch.failed or watch.gone:
        return False
    if watch.scale_in.is_under_way or replicas.starting_ages_s or replicas.draining:
        return False
    is_reached = decision.desired == decision.current or verdict.policy.mode is not Mode.AUTO
    return is_reached and not replicas.rollout
