"""Rows 32 to 36: the API server refuses, forgets, fails, hangs or repeats, or somebody else writes."""

import itertools
import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from tests.support.api_proxy import Fault, Seen
from tests.support.mail import deployment, queue_worker
from tests.support.operator_bench import OperatorBench
from tests.support.waiting import wait_until

CONVERGED_WITHIN_S = 10.0
MOST = 4


def lead(operated: OperatorBench, **spec: Any) -> None:
    """Start an operator that leads, with one QueueWorker; its queue has a job, so it is known."""
    operated.enqueue(1)
    operated.place.apply(deployment(), operated.secret, queue_worker(maxReplicas=MOST, **spec))
    operated.await_leader(operated.start())
    operated.await_replicas(int(str(spec.get("replicas", 1))))


def is_scale(seen: Seen) -> bool:
    return seen.is_scale


def anything(_: Seen) -> bool:
    return True


def nothing(_: Seen) -> bool:
    return False


def test_row_32_a_429_is_obeyed_and_the_write_follows(operated: OperatorBench) -> None:
    lead(operated)
    operated.api.fault = Fault(matches=is_scale, times=1, status=429, retry_after_s=4)

    operated.enqueue(2000)
    operated.await_replicas(MOST, within_s=4 + CONVERGED_WITHIN_S)

    tries = [seen.at_s for seen in operated.api.seen if seen.is_scale][-2:]
    assert tries[1] - tries[0] >= 4


def test_row_33_a_watch_that_is_too_old_is_listed_anew(operated: OperatorBench) -> None:
    lead(operated)
    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}
    line = json.dumps(gone).encode() + b"\n"
    ended: list[bytes] = []

    def expire(_: bytes) -> Sequence[bytes]:
        ended.append(line)
        return [line]

    operated.api.fault = Fault(matches=nothing, lines=expire)
    operated.ask(2)
    wait_until(lambda: ended, within_s=10, what="a watch got a 410")
    operated.api.fault = None

    operated.await_replicas(2, within_s=CONVERGED_WITHIN_S)


@pytest.mark.parametrize("status", [500, 503])
def test_row_34_errors_of_the_server_are_outlived(operated: OperatorBench, status: int) -> None:
    lead(operated)
    operated.api.fault = Fault(matches=anything, status=status)
    operated.api.cut_all()
    operated.enqueue(2000)
    wait_until(operated.api.fault.hit.is_set, within_s=10, what="the operator asked")
    time.sleep(3)  # some ticks within the fault

    operated.api.fault = None

    operated.await_replicas(MOST, within_s=CONVERGED_WITHIN_S)


def test_row_35_a_server_that_hangs_costs_the_lease_and_nothing_else(
    operated: OperatorBench,
) -> None:
    lead(operated)
    operated.api.fault = Fault(matches=anything, hangs=True)
    operated.api.cut_all()
    operator = operated.started[0][0]
    wait_until(
        lambda: "queueworker_leader 0.0" in operator.get("/metrics")[1],
        within_s=15,
        what="it leads no more",
    )
    operated.enqueue(2000)

    operated.api.fault = None  # what hangs goes on hanging

    operated.await_replicas(MOST, within_s=CONVERGED_WITHIN_S)


def test_row_35_events_that_are_dropped_are_found_by_the_next_list(
    operated: OperatorBench,
) -> None:
    lead(operated)
    dropped: list[bytes] = []

    def drop(line: bytes) -> Sequence[bytes]:
        dropped.append(line)
        return []

    operated.api.fault = Fault(matches=nothing, lines=drop)
    operated.ask(3)
    wait_until(lambda: dropped, within_s=10, what="an event was dropped")
    operated.api.fault = None
    operated.api.cut_all()

    operated.await_replicas(3, within_s=CONVERGED_WITHIN_S)


def test_row_35_events_that_come_twice_or_late_change_nothing(operated: OperatorBench) -> None:
    """Each event comes twice, and the one before it again."""
    lead(operated)
    lines: list[bytes] = []

    def repeat(line: bytes) -> Sequence[bytes]:
        lines.append(line)
        return [line, line, *lines[-2:-1]]

    operated.api.fault = Fault(matches=nothing, lines=repeat)
    for count in (3, 1, 2):
        operated.ask(count)
        operated.await_replicas(count, within_s=CONVERGED_WITHIN_S)

    assert [write.replicas for write in operated.writes()] == [1, 3, 1, 2]


def test_row_36_a_write_that_was_refused_for_its_version_is_made_again(
    operated: OperatorBench,
) -> None:
    lead(operated)
    operated.api.fault = Fault(matches=is_scale, times=6, status=409)

    operated.enqueue(2000)

    operated.await_replicas(MOST, within_s=CONVERGED_WITHIN_S)


@pytest.mark.parametrize(("sizes", "name"), [((1, 3), "kubectl"), ((0,), "without a name")])
def test_row_36_a_rival_writer_is_named_and_left_alone(
    operated: OperatorBench, sizes: tuple[int, ...], name: str
) -> None:
    lead(operated, replicas=2)
    for count in itertools.islice(itertools.cycle(sizes), 3):
        operated.place.kubectl("scale", "deployment/mail-worker", f"--replicas={count}")
        wait_until(
            lambda: (
                operated.sizes.now["mail-worker"] == 2
                or operated.place.condition("Conflicted").get("status") == "True"
            ),
            within_s=10,
            what="the operator answers",
        )

    condition = operated.place.await_condition("Conflicted", "RivalWriter")

    assert name in condition["message"]
    written = len(operated.writes())
    operated.place.kubectl("scale", "deployment/mail-worker", "--replicas=4")
    time.sleep(3)
    assert len(operated.writes()) == written
