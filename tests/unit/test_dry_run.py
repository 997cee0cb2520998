"""A DryRun's minutes: what was seen is what happened, and the comparison says how far it is off."""

from dataclasses import dataclass, replace

import pytest
from tests.support.decisions import CONDITIONS, POLICY, Beside, bursts
from tests.support.samples import QUIET

from queueworker_operator.decision.codec import decode, encode
from queueworker_operator.decision.decide import decide
from queueworker_operator.decision.minutes import Glimpse, Minute, follow
from queueworker_operator.decision.model import Replicas, Window
from queueworker_operator.decision.state import StartUp, State
from queueworker_operator.simulate.dbc import Dbc
from queueworker_operator.simulate.dry_run import (
    AsItWas,
    Comparison,
    Known,
    comparable,
    compare,
    measured_of,
    workload_of,
)
from queueworker_operator.simulate.policies import Case, keda
from queueworker_operator.simulate.result import Outcome
from queueworker_operator.simulate.run import simulate


def known() -> Known:
    decision, _ = decide(POLICY, State(), None, Replicas(current=0))
    learned = State(start_up=StartUp(count=20, mean_s=15.0, variance_s2=14.0))
    return Known(policy=POLICY, state=learned, decision=replace(decision, slots=4))


def kept(blind: range = range(0)) -> tuple[list[Minute], Outcome]:
    """Run KEDA's documented example with a DryRun beside it."""
    case = Case(policy=POLICY, workload=bursts(), conditions=CONDITIONS)
    beside = Beside(scaler=keda(case)[0], blind=blind)
    outcome = simulate(bursts(), CONDITIONS, beside)
    return [decode(Minute, encode(minute)) for minute in beside.minutes], outcome


def compared(minutes: list[Minute]) -> Comparison:
    return compare(comparable(minutes), known())


def test_what_was_measured_is_what_happened() -> None:
    minutes, outcome = kept()
    measured = measured_of(minutes)

    assert len(minutes) == 30
    assert measured.jobs == pytest.approx(outcome.jobs, rel=0.05)
    assert measured.late_fraction == pytest.approx(outcome.figures.late_fraction, abs=0.01)
    assert measured.pod_hours == pytest.approx(outcome.figures.pod_hours, rel=0.05)


def test_the_replay_of_what_was_is_close_and_ours_is_as_a_direct_run() -> None:
    minutes, _ = kept()
    found, direct = compared(minutes), simulate(bursts(), CONDITIONS, Dbc(policy=POLICY))

    assert found.modelled.late_fraction == pytest.approx(found.measured.late_fraction, abs=0.02)
    assert found.modelled.pod_hours == pytest.approx(found.measured.pod_hours, rel=0.05)
    assert found.ours.late_fraction == pytest.approx(direct.figures.late_fraction, abs=0.02)
    assert found.ours.pod_hours == pytest.approx(direct.figures.pod_hours, rel=0.1)
    assert found.unseen_s < 2
    assert found.service.mean_s == pytest.approx(1.5, rel=0.1)


def test_jobs_that_came_while_nobody_looked_are_not_lost() -> None:
    minutes, _ = kept(blind=range(400, 700))
    whole, _ = kept()
    found = compared(minutes)

    assert found.jobs == pytest.approx(compared(whole).jobs, abs=2)
    assert found.unseen_s == pytest.approx(240, abs=65)


def test_the_comparison_begins_where_promise_or_server_changed() -> None:
    minutes, _ = kept()
    other = [replace(minute, promise_s=10.0) for minute in minutes[:5]]
    restored = [
        *minutes[:20],
        *(replace(minute, enqueued_total=minute.enqueued_total - 2000) for minute in minutes[20:]),
    ]

    assert comparable([*other, *minutes[5:]]) == minutes[5:]
    assert comparable(restored) == restored[20:]
    assert comparable([*minutes[:3], *minutes[20:]]) == minutes[20:]
    assert comparable([]) == []


def test_a_counter_or_a_clock_that_went_back_begins_anew() -> None:
    sample = replace(QUIET, at_s=990.0, enqueued_total=50, started_total=50)

    def glimpse(*, at_s: float, enqueued_total: float = sample.enqueued_total) -> Glimpse:
        return Glimpse(
            clock_s=at_s,
            sample=replace(sample, at_s=at_s, enqueued_total=enqueued_total),
            replicas=Replicas(current=2, ready=1, starting_ages_s=(3.0,)),
            desired=3,
            promise_s=30,
            grace_s=30,
        )

    first, none = follow(None, glimpse(at_s=990.0))
    second, minute = follow(first, glimpse(at_s=1025.0, enqueued_total=57))
    assert none is None
    assert minute is not None
    assert (minute.minute_s, minute.pod_s) == (960.0, 0.0)
    assert second.minute.arrivals == ((5.0, 7.0, 0.0),)
    assert (second.minute.seen_s, second.minute.pod_s, second.minute.desired_s) == (35, 70, 105)
    for back in (glimpse(at_s=1026.0, enqueued_total=3), glimpse(at_s=900.0)):
        anew, lost = follow(second, back)
        assert lost is None
        assert anew.minute.seen_s == 0


def test_jobs_that_waited_at_the_beginning_are_there_and_announced_ones_stay_announced() -> None:
    first = replace(kept()[0][0], ready=3, until_s=60.0, minute_s=0.0, arrivals=())
    second = replace(
        first,
        minute_s=60.0,
        until_s=119.0,
        enqueued_total=first.enqueued_total + 12,
        announced_total=first.announced_total + 4,
        arrivals=((10.0, 10, 4),),
    )
    jobs, _ = workload_of([first, second], seed=1)

    assert list(jobs.at_s[:3]) == [0.0] * 3
    assert len(jobs.at_s) == 15
    assert jobs.announced.count(1) == 4


def test_the_replicas_are_those_of_the_time() -> None:
    was = AsItWas(changes=((0.0, 1), (10.0, 4), (20.0, 2)))
    seconds = (0, 9, 10, 19, 20, 500)

    @dataclass
    class At:
        at_s: float

    asked = [was.step(None, At(1_000_000.0 + second))[0] for second in seconds]  # type: ignore[arg-type]
    assert asked == [1, 1, 4, 4, 2, 2]


def test_a_schedule_is_in_force_in_the_replay() -> None:
    minutes, _ = kept()
    window = Window(cron="* * * * *", timezone="UTC", min_replicas=30, duration_s=3600)
    scheduled = replace(known(), policy=replace(POLICY, schedule=(window,)))

    plain, floored = compared(minutes), compare(comparable(minutes), scheduled)

    assert plain.ours.max_replicas < 30
    assert floored.ours.max_replicas >= 30
    assert floored.ours.pod_hours > 3 * plain.ours.pod_hours
