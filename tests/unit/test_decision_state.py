"""State and records survive JSON, and damage is refused."""

import json
from typing import Any

import pytest
from tests.support.samples import learned, sample

from queueworker_operator.decision.codec import InvalidRecord, decode
from queueworker_operator.decision.model import Mode, Policy, Replicas, Sample
from queueworker_operator.decision.state import Evidence, State, from_record, to_record


def test_a_fresh_and_a_learned_state_survive_json() -> None:
    for state in (State(), learned(rate_per_s=0.1 + 0.2, wanted=((1.5, 3.0), (2.5, 1.0)))):
        assert from_record(json.loads(json.dumps(to_record(state)))) == state


def test_a_state_is_small() -> None:
    state = learned(rate_per_s=1 / 3, wanted=tuple((1e6 + i / 3, 300.0 - i) for i in range(100)))

    assert len(json.dumps(to_record(state))) < 8000


def test_a_state_under_a_bottleneck_is_not_much_larger() -> None:
    ticks = tuple((20.0 + tick, 100 * tick / 3, 5.0 + tick / 1e6) for tick in range(120))
    state = learned(rate_per_s=1 / 3, evidence=Evidence(ticks=ticks))

    assert len(json.dumps(to_record(state))) < 12_000


def test_a_state_from_before_there_was_a_guard_is_read() -> None:
    record = to_record(learned(rate_per_s=3.0))
    for name in ("wish", "waited", "evidence", "guard", "season"):
        del record[name]

    assert from_record(record) == learned(rate_per_s=3.0)


@pytest.mark.parametrize(
    "damage",
    [
        {"version": 2},
        {"version": None},
        {"surprise": 1},
        {"slots": "ten"},
        {"slots": True},
        {"tight": 1},
        {"lateness": float("nan")},
        {"lateness": True},
        {"arrivals": [1, 2]},
        {"arrivals": {"ticks": 5}},
        {"wanted": [[1.0]]},
        {"last": {"at_s": 5.0}},
        {"lateness": 10**400},
    ],
)
def test_a_damaged_or_foreign_state_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(InvalidRecord):
        from_record({**to_record(State()), **damage})


def test_a_field_that_an_older_program_did_not_write_takes_its_default() -> None:
    record = to_record(State())
    del record["wanted"]

    assert from_record(record) == State()


def test_models_are_read_from_their_records() -> None:
    assert decode(Policy, {"mode": "DryRun", "replicas": None, "start_within_s": 5}) == Policy(
        mode=Mode.DRY_RUN, start_within_s=5.0
    )
    assert decode(Replicas, {"current": 3, "starting_ages_s": [1, 2.5]}).starting_ages_s == (1, 2.5)
    with pytest.raises(InvalidRecord, match="no Policy can be read"):
        decode(Policy, {"mode": "Sometimes"})


def test_a_sample_counts_what_can_be_claimed() -> None:
    seen: Sample = sample(ready=5, unclaimable=2)

    assert seen.claimable == 3
