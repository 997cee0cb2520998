"""What a report says about the conditions."""

from collections.abc import Iterator

from queueworker_operator.decision.model import Bottleneck, Mode, Policy, Reason, Saturation
from queueworker_operator.report import Fact, Report
from queueworker_operator.resource.conditions import Condition, ConditionReason, Trouble
from queueworker_operator.text import counted

FACTS = {
    Fact.WAITING: (Condition.METRICS_AVAILABLE, True),
    Fact.METRICS_UNAVAILABLE: (Condition.METRICS_AVAILABLE, True),
    Fact.ACCESS_REFUSED: (Condition.METRICS_AVAILABLE, True),
    Fact.QUEUE_MISSING: (Condition.METRICS_AVAILABLE, False),
    Fact.TARGET_MISSING: (Condition.READY, True),
    Fact.TARGET_UNAVAILABLE: (Condition.READY, True),
    Fact.TARGET_CONFLICT: (Condition.READY, False),
    Fact.RESTORING: (Condition.READY, False),
    Fact.STEP_FAILED: (Condition.READY, True),
    Fact.SCALE_IN_BLOCKED: (Condition.SCALING_LIMITED, True),
    Fact.UNCLAIMABLE_JOBS: (Condition.WORKERS_HEALTHY, True),
    Fact.SLOTS_ASSUMED: (Condition.WORKERS_HEALTHY, False),
}
REASONS = {
    Reason.MAX_REPLICAS: Condition.SCALING_LIMITED,
    Reason.ROLLOUT: Condition.SCALING_LIMITED,
    Reason.SATURATED: Condition.SCALING_LIMITED,
    Reason.PODS_NOT_STARTING: Condition.WORKERS_HEALTHY,
}

REMEDIES = {Reason.PODS_NOT_STARTING: "; kubectl describe and kubectl logs of the pods say why"}


def troubles_of(report: Report) -> Iterator[Trouble]:
    """Give all that one tick found worth a condition."""
    for fact, message in report.facts.items():
        condition, flips = _place(fact, report)
        yield Trouble(condition=condition, reason=fact, message=message, flips=flips)
    decision = report.decision
    if decision is not None and decision.reason in REASONS:
        remedy = REMEDIES.get(decision.reason, "")
        yield Trouble(
            condition=REASONS[decision.reason],
            reason=decision.reason,
            message=f"{decision.message}{remedy}",
        )
    if report.decision is None and not report.facts:
        yield Trouble(
            condition=Condition.METRICS_AVAILABLE,
            reason=Fact.WAITING,
            message="the database has not been read yet",
        )
    yield from _saturated(report)
    yield from _unregistered(report)
    yield from held_by(report.policy)


def _place(fact: Fact, report: Report) -> tuple[Condition, bool]:
    if fact is Fact.GRANT_MISSING:  # without a sample the lag itself is what may not be read
        limited = report.sample is not None
        return (Condition.SCALING_LIMITED if limited else Condition.METRICS_AVAILABLE), True
    return FACTS.get(fact, (Condition.READY, True))


def _saturated(report: Report) -> Iterator[Trouble]:
    """Tell whether more pods finish more jobs, as far as that is known."""
    decision = report.decision
    if decision is None or decision.bottleneck is Bottleneck.NOT_WATCHED:
        yield _unsure(Bottleneck.NOT_WATCHED, _why_not_watched(report))
    elif decision.bottleneck is Bottleneck.IN_QUESTION:
        yield _unsure(decision.bottleneck, decision.bottleneck_told)
    elif decision.bottleneck is not Bottleneck.NOT_SEEN:
        false_alarm = decision.bottleneck is Bottleneck.FALSE_ALARM
        text = "fewer pods finished fewer jobs: more of them help" if false_alarm else None
        yield Trouble(
            condition=Condition.SATURATED,
            reason=decision.bottleneck,
            message=text or decision.bottleneck_told,
            flips=not false_alarm,
        )


def _unsure(reason: Bottleneck, message: str) -> Trouble:
    return Trouble(condition=Condition.SATURATED, reason=reason, message=message, unknown=True)


def _why_not_watched(report: Report) -> str:
    if report.policy.saturation is Saturation.SPEND:
        return "spec.saturation is Spend: whether more pods finish more jobs is not looked at"
    if report.sample is None:
        return "without metrics it is not known whether more pods finish more jobs"
    return "the replicas are not chosen by the controller"


def _unregistered(report: Report) -> Iterator[Trouble]:
    """Tell pods without workers; only as a note: pods and rows are not read at one moment."""
    sample, replicas = report.sample, report.replicas
    if sample is not None and replicas is not None and replicas.ready and not sample.workers:
        yield Trouble(
            condition=Condition.WORKERS_HEALTHY,
            reason=ConditionReason.NO_WORKER_REGISTERED,
            message=f"{counted(replicas.ready, 'pod is', 'pods are')} Ready, no worker serves the queues: "
            "compare spec.queues with the worker's --queue, and the two databases",
            flips=False,
        )


def held_by(policy: Policy) -> Iterator[Trouble]:
    """Tell what the user himself holds back."""
    match policy.mode:
        case Mode.PAUSED:
            yield _paused(Reason.PAUSED, "spec.mode is Paused: the replicas are left alone")
        case Mode.DRY_RUN:
            text = "spec.mode is DryRun: decisions are published, the replicas are left alone"
            yield _paused(ConditionReason.DRY_RUN, text)
        case Mode.AUTO if policy.replicas is not None:
            text = f"spec.replicas asks for {policy.replicas}: remove the field for automatic again"
            yield _paused(Reason.MANUAL, text)
        case Mode.AUTO:
            return


def _paused(reason: Reason | ConditionReason, message: str) -> Trouble:
    return Trouble(condition=Condition.PAUSED, reason=reason, message=message)
