"""What the loop remembers of an assignment when its spec changes."""

import json
from dataclasses import replace

import pytest
from tests.support.samples import sample
from tests.support.targets import PodTarget, pod_id

from queueworker_operator.controller.watch import Assignment, Watch
from queueworker_operator.decision.model import Policy
from queueworker_operator.decision.state import State


def watching(*queues: str) -> Watch:
    target = PodTarget("", queues)
    assignment = Assignment(key="shop/mail", queues=queues, policy=Policy(), target=target)
    return Watch(assignment=assignment, state=State(last=sample(), observations=50))


def test_the_history_of_an_added_queue_does_not_count_as_arrivals() -> None:
    watch = watching("mail")
    watch.take(replace(watch.assignment, queues=("mail", "reports")))

    assert watch.state.last is None
    assert watch.state.observations == 50


@pytest.mark.parametrize("queues", [("mail", "reports"), ("reports", "mail")])
def test_what_was_stored_of_the_same_queues_is_taken_over_whole(queues: tuple[str, ...]) -> None:
    record = json.loads(json.dumps(watching("mail", "reports").to_record()))
    later = replace(watching(*queues), state=State())

    later.restore(record)

    assert later.state == State(last=sample(), observations=50)


@pytest.mark.parametrize("queues", [("mail",), ("mail", "reports", "sms"), ("mail", "sms")])
def test_the_counters_of_other_queues_begin_anew_after_a_restart(queues: tuple[str, ...]) -> None:
    record = json.loads(json.dumps(watching("mail", "reports").to_record()))
    later = replace(watching(*queues), state=State())

    later.restore(record)

    assert later.state == State(observations=50)


def test_a_stored_state_that_names_no_queues_keeps_no_counters() -> None:
    record = json.loads(json.dumps(watching("mail").to_record()))
    del record["queues"]
    later = replace(watching("mail"), state=State())

    later.restore(record)

    assert later.state == State(observations=50)


def test_a_new_promise_keeps_what_was_learned() -> None:
    watch = watching("mail")
    before = watch.state
    watch.take(replace(watch.assignment, policy=Policy(start_within_s=5)))

    assert watch.state == before


def test_a_pod_that_lives_when_it_is_asked_for_again_is_not_asked_for_later() -> None:
    watch = watching("mail")
    dead, restarted = pod_id("dead"), pod_id("restarted")
    watch.note_gone((dead, restarted), 100.0)
    watch.forget_gone(100.0)

    watch.spare({"restarted"}, 106.0)

    assert watch.gone_by(106.0) == (dead,)
    watch.forget_gone(106.0)
    assert watch.gone == ()
