"""A decision worked out again, step by step, for a person to follow."""

from collections.abc import Iterator
from dataclasses import dataclass

from queueworker_operator.decision.explain import Verdict, number, seconds
from queueworker_operator.decision.fewer import one_fewer
from queueworker_operator.decision.plan import scale_in_test, scale_out_test
from queueworker_operator.decision.restraint import hold_s
from queueworker_operator.decision.sizing import DeadlineTest
from queueworker_operator.text import counted

ROWS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One instant: the jobs that must have started by then, and those that would have.

    `now` with the pods that are ready or on their way, `decided` with the number decided for,
    `fewer` with one pod less than that. `counts` is False where a new pod comes too late to help.
    """

    time_s: float
    due: float
    now: float
    decided: float
    fewer: float
    counts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One thing that bounds the number: how many pods it asks for, and why."""

    name: str
    pods: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """All that a person needs to make the decision again by hand."""

    inputs: tuple[tuple[str, str], ...]
    forecast: tuple[tuple[str, str], ...]
    horizon: str
    points: tuple[Point, ...]
    bounds: tuple[Bound, ...]
    fewer: str


def work_out(verdict: Verdict) -> Working:
    """Work a decision out again."""
    out = verdict.desired > verdict.current
    test = (scale_out_test if out else scale_in_test)(verdict.outlook, verdict.outlook.capacity)
    return Working(
        inputs=tuple(_inputs(verdict)),
        forecast=tuple(_forecast(verdict)),
        horizon=_horizon(test, out=out),
        points=_points(verdict, test),
        bounds=tuple(_bounds(verdict)),
        fewer=one_fewer(verdict),
    )


def _inputs(verdict: Verdict) -> Iterator[tuple[str, str]]:
    sample, outlook, policy = verdict.sample, verdict.outlook, verdict.policy
    left_out = f", {outlook.unclaimable:.0f} of them left out" if outlook.unclaimable else ""
    yield (
        "waiting",
        f"{counted(round(sample.ready), 'job')}, the oldest for {seconds(sample.oldest_age_s)}{left_out}",
    )
    yield "running", counted(round(sample.running), "job")
    due = counted(round(outlook.announced.by(300.0)), "job falls", "jobs fall")
    yield "announced", f"{due} due in the next 5 minutes"
    if outlook.burst_in_s is not None:
        burst_in = seconds(outlook.burst_in_s)
        yield "rhythm", f"bursts come at equal distances, the next in {burst_in}: counted above"
    starting = ", ".join(seconds(left_s) for left_s in outlook.starting_s[:8])
    more = f"; ready in about {starting}" if starting else ""
    late = f"; {outlook.overdue} overdue, not counted on" if outlook.overdue else ""
    asked = f"{verdict.current} asked for, {outlook.ready} ready"
    yield "pods", f"{asked}, {len(outlook.starting_s)} starting{more}{late}"
    yield "slots", f"{outlook.slots} a pod{' (assumed)' if outlook.slots_assumed else ''}"
    yield (
        "promise",
        f"start within {seconds(policy.start_within_s)}, {policy.late_percent:g} % may be late",
    )
    yield "bounds", f"minReplicas {policy.min_replicas}, maxReplicas {policy.max_replicas}"


def _forecast(verdict: Verdict) -> Iterator[tuple[str, str]]:
    outlook, state = verdict.outlook, verdict.state
    ahead = seconds(outlook.lead_s)
    forecast = number(outlook.forecast_rate_per_s)
    yield (
        "arrivals",
        f"{number(outlook.arrival_rate_per_s)}/s now, {forecast}/s expected in {ahead}",
    )
    if outlook.load_rate_per_s != outlook.forecast_rate_per_s:
        yield "load", f"{number(outlook.load_rate_per_s)}/s, with what long jobs occupy mixed in"
    yield "service", f"{seconds(outlook.service_s)} a job ({state.service.finished:.0f} seen)"
    known = "" if state.start_up.known else ", assumed until 3 were seen"
    yield (
        "start-up",
        f"{seconds(outlook.start_up_s)} a pod ({state.start_up.count:.0f} seen{known})",
    )
    kind = "the queue absorbs a surprise until pods come"
    if state.tight:
        kind = "shorter than a start-up: spare slots must be there beforehand"
    yield "regime", f"{'tight' if state.tight else 'buffered'}: {kind}"
    planned, stricter = seconds(outlook.deadline_s), seconds(outlook.scale_in_deadline_s)
    yield (
        "deadline",
        f"{planned} to scale out, {stricter} to scale in, of the promise's {seconds(outlook.promise_s)}",
    )


def _horizon(test: DeadlineTest, *, out: bool) -> str:
    deadline = seconds(test.demand.deadline_s)
    if out:
        first = seconds(test.first_s)
        return f"scale-out test: start within {deadline}; from {first} on, when a new pod can help"
    paid = "until a pod removed now would have paid for its return"
    return f"scale-in test: start within {deadline}; {paid} ({seconds(test.last_s)})"


def _points(verdict: Verdict, test: DeadlineTest) -> tuple[Point, ...]:
    counts = (verdict.outlook.capacity.pods, verdict.desired, max(verdict.desired - 1, 0))
    curves = [list(test.started(count)) for count in counts]
    points = [
        Point(
            time_s=time_s,
            due=due,
            now=now,
            decided=decided,
            fewer=fewer,
            counts=time_s >= test.first_s,
        )
        for (time_s, due, now), (_, _, decided), (_, _, fewer) in zip(*curves, strict=True)
    ]
    if not points:
        return ()  # no job is in sight
    worst = max(points, key=lambda point: (point.counts, point.due - point.fewer))
    later = [point for point in points if point.time_s >= 0]
    step = max(1, -(-len(later) // (ROWS - 1)))
    shown = {id(point) for point in (*later[::step], worst, later[-1])}
    return tuple(point for point in points if id(point) in shown)


def _bounds(verdict: Verdict) -> Iterator[Bound]:
    plan, restrained, policy, outlook = (
        verdict.plan,
        verdict.restrained,
        verdict.policy,
        verdict.outlook,
    )
    deadline, stricter = seconds(outlook.deadline_s), seconds(outlook.scale_in_deadline_s)
    limited = " (maxReplicas, and not enough)" if plan.limited else ""
    yield Bound(
        name="promise",
        pods=str(plan.enough),
        why=f"fewest to start in {deadline}{limited}; there: {plan.pods}",
    )
    yield Bound(name="keep", pods=str(plan.keep), why=f"fewest of those there, by {stricter}")
    why = f"most wanted in the last {seconds(hold_s(outlook))}: so long a need is remembered"
    yield Bound(name="hold", pods=str(restrained.held), why=why)
    if restrained.climbing:
        yield Bound(name="climb", pods="+1", why="pods were added twice just now, more will be")
    if restrained.refused:
        why = f"no pod becomes ready; {counted(restrained.refused, 'pod')} more wanted"
        yield Bound(name="stalled", pods=f"<= {restrained.wish}", why=why)
    if verdict.state.guard.cap:
        binds = "binds" if restrained.saturated else "does not bind"
        why = f"more pods finished no more jobs; it {binds}"
        yield Bound(name="saturation", pods=f"<= {verdict.state.guard.cap}", why=why)
    if restrained.rollout:
        yield Bound(name="rollout", pods=f">= {verdict.current}", why="no scale-in meanwhile")
    if policy.floor:
        yield Bound(name="schedule", pods=f">= {policy.floor.replicas}", why=policy.floor.why)
    limits = f"{policy.min_replicas}..{policy.max_replicas}"
    yield Bound(name="limits", pods=limits, why="minReplicas and maxReplicas")
    yield Bound(name="decided", pods=str(verdict.desired), why=f"from {verdict.current}")
