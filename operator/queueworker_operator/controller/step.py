"""One tick of one QueueWorker: sample, observe, decide, act, record, report."""

import logging

from queueworker_operator.controller.act import Action
from queueworker_operator.controller.advice import scored
from queueworker_operator.controller.dry_run import keep_minutes
from queueworker_operator.controller.exported import published
from queueworker_operator.controller.ports import Ports, Reading
from queueworker_operator.controller.record import Verdict, facts_of
from queueworker_operator.controller.sampling import Sampled, is_due, sampled
from queueworker_operator.controller.span import is_tracing, tell_span
from queueworker_operator.controller.still import calmed, seen
from queueworker_operator.controller.watch import Watch
from queueworker_operator.decision.decide import decide, observe
from queueworker_operator.decision.model import Replicas
from queueworker_operator.errors import GrantMissing, LagUnavailable
from queueworker_operator.report import Fact, Report
from queueworker_operator.resource import in_force
from queueworker_operator.text import counted

logger = logging.getLogger(__name__)

BROKEN = (None, None, frozenset({Fact.STEP_FAILED}))


async def step(ports: Ports, watch: Watch, reading: Reading) -> bool:
    """Run one tick; what goes wrong on the way becomes a fact of its report.

    Tells whether the target was written.
    """
    looked_at = seen(ports, watch, reading)
    watch.seen = None
    if not ports.may_write():
        watch.stand_by()
    await end_leases(ports, watch)
    replicas = watch.replicas(ports.clock())
    may_go_on = reading.trouble is None and await restored(ports, watch)
    if not reading.queues.issuperset(watch.assignment.queues):
        return False  # a queue was added meanwhile: the next tick reads it, too
    found = pooled(ports, watch, reading, replicas)
    verdict, written = None, None
    if replicas is None:
        found.facts[Fact.TARGET_MISSING] = "the target does not exist: check spec.scaleTargetRef"
    elif found.sample is not None and not may_go_on:
        found.facts[Fact.RESTORING] = "the state of the last run could not be read yet"
    else:
        verdict = decided(ports, watch, found, replicas)
        if ports.may_write():
            action = Action(ports, watch, verdict, found.lags, found.facts)
            written = await action.run()
            note(ports, watch, verdict, written, began_s=reading.read_at_s)
            await keep_minutes(ports, watch, verdict)
    report = report_of(ports, watch, (found, replicas, verdict, written))
    ports.metrics.publish(watch.assignment.key, published(watch, found, verdict, report))
    if ports.may_write():
        await ports.reporter.report(watch.assignment.key, report)
    if verdict is not None:
        watch.seen = calmed(watch, verdict, looked_at)
    return written is not None


def pooled(ports: Ports, watch: Watch, reading: Reading, replicas: Replicas | None) -> Sampled:
    """Pool the queues, and note when they were read."""
    found = sampled(watch, reading, 0 if replicas is None else replicas.current)
    if found.sample is not None:
        watch.sampled_at_s = reading.read_at_s
        ports.metrics.sampled(watch.assignment.key, reading.read_at_s)
    return found


async def restored(ports: Ports, watch: Watch) -> bool:
    """Take over what the last controller learned, then sample; until it answered nothing moves."""
    if watch.restored:
        return True
    key = watch.assignment.key
    try:
        record = await ports.source.load_state(key)
    except GrantMissing as exc:
        logger.warning("%s: nothing learned earlier can be read: %s", key, exc)
        record = None
    except LagUnavailable:
        return False
    if record is not None:
        try:
            watch.restore(record)
        except ValueError as exc:
            logger.warning("%s: the stored state is dropped: %s", key, exc)
    watch.restored = True
    return True


def decided(ports: Ports, watch: Watch, found: Sampled, replicas: Replicas) -> Verdict:
    """Observe when it is due, then decide."""
    began_s = ports.clock()
    sample, start_up = found.sample, watch.state.start_up
    policy = in_force(watch.assignment.policy, ports.wall_clock(), start_up.estimate_s)
    if sample is not None and found.lags and is_due(sample, watch.observed_at_s):
        watch.state = observe(policy, watch.state, sample, replicas)
        watch.observed_at_s = sample.at_s
    before = watch.state
    read_at_s = watch.unread_since_s if watch.sampled_at_s is None else watch.sampled_at_s
    blind_s = 0.0 if read_at_s is None else max(ports.clock() - read_at_s, 0.0)
    decision, watch.state = decide(policy, before, sample, replicas, blind_s=blind_s)
    ports.metrics.decision_seconds.observe(ports.clock() - began_s)
    if sample is not None and found.lags:
        watch.forecasts = scored(watch.forecasts, sample, decision)
    if decision.slots_assumed:
        text = f"no worker has told its slots yet: {decision.slots} are assumed; set slotsPerPod"
        found.facts[Fact.SLOTS_ASSUMED] = text
    if decision.unclaimable:
        found.facts[Fact.UNCLAIMABLE_JOBS] = unclaimable_text(watch, decision.unclaimable)
    return Verdict(
        policy=policy,
        state=before,
        sample=sample,
        replicas=replicas,
        decision=decision,
        blind_s=blind_s,
    )


def unclaimable_text(watch: Watch, jobs: float) -> str:
    """Name the tasks that no worker has registered."""
    tasks = sorted({task for _, task in watch.unknown.tasks})
    what = (
        f"no worker has registered the task {', '.join(tasks[:5])}"
        if tasks
        else "no worker claims them; compare spec.queues with --queue of the workers"
    )
    return f"{counted(round(jobs), 'ready job')} left out: {what}"


def note(
    ports: Ports, watch: Watch, verdict: Verdict, written: int | None, *, began_s: float
) -> None:
    """Log, count and note for the history a change of the desired replicas, of the reason, or of the target."""
    decision, now_s = verdict.decision, ports.clock()
    story = (decision.desired, decision.reason)
    if written is None and watch.recorded is not None:
        same_size = watch.recorded[0] == decision.desired
        if story == watch.recorded or (same_size and not watch.takes_reason(now_s)):
            return
    watch.recorded = story
    key = watch.assignment.key
    ports.metrics.count(key, decision)
    facts = {"queueworker": key, "written": written, **facts_of(verdict)}
    words = (key, decision.reason.value, decision.message)
    logger.info("%s: %s: %s", *words, extra={"fields": facts})
    if is_tracing():
        ended_at_s = ports.wall_clock()
        tell_span(facts, ended_at_s - (ports.clock() - began_s), ended_at_s)
    if written is None:  # else it was recorded before the write
        ports.history.note(key, verdict)


async def end_leases(ports: Ports, watch: Watch) -> None:
    """End the leases of pods that are gone: their jobs run elsewhere now, not after the TTL."""
    gone = watch.assignment.target.take_gone()
    if not ports.may_write():
        return
    now_s = ports.clock()
    watch.note_gone(gone, now_s)
    # Asked again later: a pod that lives by then has restarted its container; spare its new worker.
    living = (pod for pod in watch.assignment.target.all_pods() if pod not in gone)
    watch.spare({pod.name for pod in living}, now_s)
    pods = watch.gone_by(now_s)
    if not pods:
        return
    try:
        released = await ports.source.end_lease(pods, shared=watch.shared)
    except GrantMissing as exc:
        logger.warning("%s: leases of dead pods end by themselves: %s", watch.assignment.key, exc)
        released = 0
    except LagUnavailable:
        return  # tried again at the next tick
    if released:
        jobs = counted(released, "job of dead pods is", "jobs of dead pods are")
        logger.info("%s: %s ready again", watch.assignment.key, jobs)
    watch.forget_gone(now_s)


def report_of(
    ports: Ports,
    watch: Watch,
    tick: tuple[Sampled, Replicas | None, Verdict | None, int | None],
) -> Report:
    """Build the report of a tick and note whether it tells something new."""
    found, replicas, verdict, written = tick
    decision = None if verdict is None else verdict.decision
    story = (
        None if decision is None else decision.desired,
        None if decision is None else decision.reason,
        frozenset(found.facts),
    )
    changed = story != watch.reported or written is not None
    if ports.may_write():
        watch.reported = story
    age_s = None if watch.sampled_at_s is None else ports.clock() - watch.sampled_at_s
    return Report(
        policy=watch.assignment.policy,
        generation=watch.assignment.generation,
        decision=decision,
        sample=found.sample,
        replicas=replicas,
        scheduled=sum(lag.scheduled for lag in found.lags),
        dead=sum(lag.dead for lag in found.lags),
        paused_queues=tuple(lag.queue for lag in found.lags if lag.paused),
        victims=len(watch.scale_in.victims),
        written=written,
        sample_age_s=age_s,
        facts=found.facts,
        changed=changed,
    )


def failed_report(watch: Watch, error: Exception) -> Report:
    """Report a tick that broke: by the error's kind, its text might carry anything."""
    text = f"a tick failed ({type(error).__name__}); the others go on, see the operator's log"
    return Report(
        policy=watch.assignment.policy,
        generation=watch.assignment.generation,
        facts={Fact.STEP_FAILED: text},
        changed=watch.reported != BROKEN,
    )
