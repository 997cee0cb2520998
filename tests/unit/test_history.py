import random
from collections.abc import Callable

import pytest
from tests.support.history import ENDS, TERMINAL, Event, Kind, check

History = tuple[list[Event], list[Event]]
Bug = Callable[[list[Event], list[Event]], None]


def healthy(seed: int, jobs: int = 30) -> History:
    """Make a history that keeps the contract: jobs interleaved, all kinds of ends."""
    rng, log, accepted, token = random.Random(seed), [], [], 0
    lives: dict[int, int] = {}
    todo = list(range(1, jobs + 1))
    log += [Event(Kind.ENQUEUED, job_id) for job_id in todo]
    while todo:
        job_id = rng.choice(todo)
        if job_id not in lives:
            token += 1
            lives[job_id] = token
            log.append(Event(Kind.CLAIMED, job_id, token))
            continue
        end = Event(
            rng.choice(sorted(ENDS, key=lambda kind: kind.value)), job_id, lives.pop(job_id)
        )
        log.append(end)
        if end.kind is not Kind.LOST:
            accepted.append(end)
        if end.kind in TERMINAL:
            todo.remove(job_id)
    return log, accepted


def last(log: list[Event], *kinds: Kind) -> int:
    return max(place for place, event in enumerate(log) if event.kind in kinds)


def lose_a_job(log: list[Event], _accepted: list[Event]) -> None:
    del log[last(log, Kind.SUCCEEDED)]


def never_claim_a_job(log: list[Event], _accepted: list[Event]) -> None:
    log.append(Event(Kind.ENQUEUED, 999))


def run_what_was_never_enqueued(log: list[Event], _accepted: list[Event]) -> None:
    log += [Event(Kind.CLAIMED, 999, 999), Event(Kind.SUCCEEDED, 999, 999)]


def succeed_twice(log: list[Event], _accepted: list[Event]) -> None:
    end = log[last(log, Kind.SUCCEEDED)]
    log += [Event(Kind.CLAIMED, end.job_id, 900), Event(Kind.SUCCEEDED, end.job_id, 900)]


def bury_after_success(log: list[Event], _accepted: list[Event]) -> None:
    end = log[last(log, Kind.SUCCEEDED)]
    log.append(Event(Kind.DEAD, end.job_id, end.token))


def acknowledge_by_id(log: list[Event], accepted: list[Event]) -> None:
    # A zombie's success takes the row away under the new owner's token.
    place = last(log, Kind.SUCCEEDED)
    end = log[place]
    accepted.append(Event(Kind.SUCCEEDED, end.job_id, 0))
    accepted.remove(end)


def rescue_without_recheck(log: list[Event], _accepted: list[Event]) -> None:
    place = last(log, Kind.CLAIMED)
    log.insert(place + 1, Event(Kind.LOST, log[place].job_id, log[place].token))


def claim_what_is_running(log: list[Event], _accepted: list[Event]) -> None:
    place = last(log, Kind.CLAIMED)
    log.insert(place + 1, Event(Kind.CLAIMED, log[place].job_id, 901))


def reuse_a_token(log: list[Event], _accepted: list[Event]) -> None:
    places = [p for p, e in enumerate(log) if e.kind is Kind.CLAIMED and e.job_id == 1]
    log[places[0]] = Event(Kind.CLAIMED, 1, 0)


def forget_the_end_of_a_start(log: list[Event], _accepted: list[Event]) -> None:
    place = next(p for p, e in enumerate(log) if e.kind in {Kind.FAILED, Kind.RELEASED, Kind.LOST})
    del log[place]


def accept_a_release_after_rescue(log: list[Event], accepted: list[Event]) -> None:
    lost = log[last(log, Kind.LOST)]
    accepted.append(Event(Kind.RELEASED, lost.job_id, lost.token))


def accept_a_write_twice(_log: list[Event], accepted: list[Event]) -> None:
    accepted.append(accepted[-1])


def write_under_an_older_token(log: list[Event], _accepted: list[Event]) -> None:
    place = last(log, Kind.SUCCEEDED)
    log[place] = Event(Kind.SUCCEEDED, log[place].job_id, log[place].token - 1)


BUGS: dict[Bug, str] = {
    lose_a_job: "I1",
    never_claim_a_job: "I1",
    run_what_was_never_enqueued: "I1",
    succeed_twice: "I2",
    bury_after_success: "I2",
    acknowledge_by_id: "I3",
    rescue_without_recheck: "I3",
    claim_what_is_running: "I7",
    reuse_a_token: "I3",
    forget_the_end_of_a_start: "I7",
    accept_a_release_after_rescue: "I3",
    accept_a_write_twice: "I3",
    write_under_an_older_token: "I3",
}


@pytest.mark.parametrize("seed", range(20))
def test_a_healthy_history_has_no_violation(seed: int) -> None:
    assert check(*healthy(seed)) == []


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
@pytest.mark.parametrize("seed", range(5))
def test_a_planted_bug_is_caught(bug: Bug, seed: int) -> None:
    log, accepted = healthy(seed)
    bug(log, accepted)

    assert BUGS[bug] in {violation.invariant for violation in check(log, accepted)}


def test_jobs_that_are_left_alone_are_not_lost() -> None:
    assert check([Event(Kind.ENQUEUED, 1)], left_alone={1}) == []
