from dataclasses import FrozenInstanceError

import pytest

from queueworker.job import Job, job_now, with_json
from queueworker.store.open_claims import OpenClaims


def test_a_job_cannot_be_changed() -> None:
    job = Job(task="a", queue="q", args={})

    with pytest.raises(FrozenInstanceError):
        job.queue = "other"  # type: ignore[misc]


def test_the_quick_way_builds_the_same_job() -> None:
    options = {"priority": 3, "max_attempts": 7, "timeout_s": 2.5, "unique_key": "k"}
    named = {"task": "a", "queue": "q", "args": {"n": 1}, "on_duplicate": "reject", **options}

    quick = job_now(**named, args_json='{"n":1}')  # type: ignore[arg-type]
    usual = with_json(Job(**named), '{"n":1}')  # type: ignore[arg-type]

    assert quick == usual
    assert repr(quick) == repr(usual)
    assert quick.args_json == usual.args_json
    assert quick.using(delay_s=5) == usual.using(delay_s=5)


def test_a_claim_closes_with_its_last_settled_job() -> None:
    claims = OpenClaims()
    claims.opened(7, 3)

    assert claims.closing([7, 7]) == []
    claims.settled([7, 7], [])
    assert claims.closing([7]) == [7]
    claims.settled([7], [7])
    assert len(claims) == 0


def test_a_write_that_failed_closes_nothing() -> None:
    claims = OpenClaims()
    claims.opened(7, 2)
    claims.closing([7, 7])  # written, but the answer never came

    assert claims.closing([7]) == []


def test_two_writes_at_once_leave_the_claim_to_the_next_one() -> None:
    claims = OpenClaims()
    claims.opened(7, 2)
    first, second = claims.closing([7]), claims.closing([7])
    claims.settled([7], first)
    claims.settled([7], second)

    assert (first, second) == ([], [])
    assert claims.closing([]) == [7]


def test_tokens_of_another_process_are_none_of_ours() -> None:
    assert OpenClaims().closing([1, 2]) == []
