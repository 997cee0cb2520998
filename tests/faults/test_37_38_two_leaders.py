"""Rows 37 and 38: two operators, one of them cut off; clocks that are wrong."""

import time

from tests.support.api_proxy import Fault
from tests.support.clocks import shim
from tests.support.fault_proxy import Plan
from tests.support.mail import deployment, queue_worker
from tests.support.operator_bench import OperatorBench
from tests.support.operator_process import Operator
from tests.support.waiting import wait_until

from queueworker_operator.leader import Pace

HOUR_S = 3600
FOLLOWED_WITHIN_S = 17.0
MOST = 4


def leads(operator: Operator) -> bool:
    return "queueworker_leader 1.0" in operator.get("/metrics")[1]


def two(operated: OperatorBench, **environ: str) -> tuple[Operator, Operator]:
    """Start a leader and a standby, each with its own way to the API server."""
    operated.place.apply(deployment(), operated.secret, queue_worker(maxReplicas=MOST))
    leader = operated.start("operator-0", environ=environ)
    operated.await_leader(leader)
    standby = operated.start("operator-1", operated.another_way())
    operated.place.await_told("Ready")
    return leader, standby


def test_row_37_cut_from_the_api_the_old_leader_stops_before_the_new_one_begins(
    operated: OperatorBench,
) -> None:
    """It still has Postgres, where it writes nothing either."""
    leader, standby = two(operated)
    operated.api.fault = Fault(matches=lambda _: True, hangs=True)
    operated.api.cut_all()
    cut_s = time.monotonic()
    wait_until(lambda: not leads(leader), within_s=12, what="the old one stops", every_s=0.1)
    assert not leads(standby)
    operated.enqueue(2000)
    wait_until(lambda: leads(standby), within_s=12, what="the standby leads", every_s=0.1)
    assert time.monotonic() - cut_s < FOLLOWED_WITHIN_S

    operated.await_replicas(MOST, within_s=5)
    time.sleep(2)  # the old one ticks on

    assert {write.writer for write in operated.writes()} == {"operator 1"}
    row = operated.conn.execute(
        "SELECT count(*) FROM queueworker.decision WHERE (record->>'asked') IS NOT NULL"
    ).fetchone()
    assert row == (1,)


def test_row_37_a_write_that_was_under_way_is_refused_when_it_comes_late(
    operated: OperatorBench,
) -> None:
    leader, standby = two(operated)
    fault = Fault(matches=lambda seen: seen.is_scale, times=1, delay_s=20.0)
    operated.api.fault = fault
    operated.enqueue(2000)
    assert fault.hit.wait(10)
    leader.process.kill()  # its write is on the way
    wait_until(lambda: leads(standby), within_s=FOLLOWED_WITHIN_S, what="the standby leads")
    operated.await_replicas(MOST, within_s=5)

    late = next(seen for seen in operated.api.seen if seen.is_scale)
    wait_until(lambda: late.status, within_s=25, what="the late write arrives")

    assert late.status == 409
    assert [write.writer for write in operated.writes()] == ["operator 1"]


def test_row_38_cut_from_the_database_alone_a_leader_stays_and_holds(
    operated: OperatorBench,
) -> None:
    """The Lease says who may write, not who can read; without data nobody would."""
    leader, standby = two(operated)
    operated.ask(3)
    operated.await_replicas(3)
    operated.database.plan = Plan(refuses=True)
    operated.database.cut_all()
    operated.place.await_condition("MetricsAvailable", "MetricsUnavailable")

    time.sleep(Pace().deadline_s)

    assert leads(leader)
    assert not leads(standby)
    assert operated.sizes.now["mail-worker"] == 3


def test_row_38_a_clock_that_is_wrong_by_an_hour_changes_nothing(operated: OperatorBench) -> None:
    leader, standby = two(operated, **shim(HOUR_S))
    time.sleep(3)
    assert leads(leader)
    assert not leads(standby)
    leader.process.kill()
    killed_s = time.monotonic()

    wait_until(lambda: leads(standby), within_s=FOLLOWED_WITHIN_S, what="it follows", every_s=0.1)

    assert time.monotonic() - killed_s > Pace().deadline_s
