"""Which claimed jobs wait, in which order they start, and which go back."""

from dataclasses import replace

from queueworker.claim import Pace, Source
from queueworker.job import ClaimedJob
from queueworker.store import QueueRow
from queueworker.worker.waiting import Batch, Waiting

QUEUE = QueueRow(id=1, name="mail", part="job_default", paused=False)
SOURCE = Source(QUEUE, 1, Pace(poll_s=1.0))
SUSPECT = 2


def job(number: int, *, crash_count: int = 0, token: int = 1) -> ClaimedJob:
    return ClaimedJob(
        token=token,
        id=number,
        lane=1,
        pos=number,
        attempt=1,
        max_attempts=5,
        crash_count=crash_count,
        timeout_s=None,
        run_at_wait_s=0.0,
        args="{}",
    )


class Held:
    """Waiting jobs whose marks are written down."""

    def __init__(self, slots: int, source: Source = SOURCE) -> None:
        self.marks: list[tuple[Batch, int]] = []
        self.source = source
        self.waiting = Waiting(slots, lambda batch, count: self.marks.append((batch, count)))

    def add(self, *jobs: ClaimedJob, marked: int | None = None, at_s: float = 0.0) -> Batch:
        batch = Batch(self.source, jobs, len(jobs) if marked is None else marked, at_s)
        self.waiting.add(batch)
        return batch

    def add_suspect(self, job: ClaimedJob, at_s: float = 0.0) -> Batch:
        batch = Batch(self.source, [job], 0, at_s)
        self.waiting.add_suspect(batch)
        return batch

    def suspect(self, now_s: float = 1.0, *, is_alone: bool = True) -> int | None:
        taken = self.waiting.take_suspect(now_s, is_alone=is_alone)
        return None if taken is None else taken[1].id

    def take(self) -> int | None:
        taken = self.waiting.take()
        return None if taken is None else taken[1].id

    def back(self, now_s: float | None = None) -> list[int]:
        return [job.id for _, job in self.waiting.take_back(now_s)]


def test_jobs_are_handed_out_in_the_order_of_their_claims() -> None:
    held = Held(2)
    held.add(job(1), job(2))
    held.add(job(3, token=2))

    assert [held.take() for _ in range(4)] == [1, 2, 3, None]
    assert held.waiting.held == 0


def test_a_job_starts_only_after_the_database_knows_that_it_may() -> None:
    held = Held(2)
    held.add(*map(job, range(1, 6)), marked=1)
    assert [held.take(), held.take()] == [1, None]

    (batch, count) = held.marks[0]
    assert count > 1
    held.waiting.marked(batch, count)
    assert held.take() == 2


def test_a_later_claim_does_not_overtake_one_that_waits_for_its_mark() -> None:
    held = Held(1)
    first = held.add(job(1), job(2), marked=1)
    held.add(job(3, token=2))
    assert [held.take(), held.take()] == [1, None]

    held.waiting.marked(first, 2)
    assert [held.take(), held.take()] == [2, 3]


def test_short_jobs_are_marked_by_the_fiftieth_of_a_second_and_long_ones_by_the_slot() -> None:
    held = Held(10)
    assert held.waiting.startable(500, busy=0) == 10

    for _ in range(2000):
        held.waiting.measured(0.0001)
    assert held.waiting.startable(500, busy=10) == 500
    held.waiting.measured(1.0)
    assert held.waiting.startable(500, busy=10) == 10


def test_a_suspect_is_handed_out_alone_after_all_others_and_once_the_database_knows_of_it() -> None:
    held = Held(4)
    held.add(job(1), job(3))
    batch = held.add_suspect(job(2, crash_count=SUSPECT, token=2))

    assert held.waiting.room(busy=0) == 0
    assert (held.suspect(), held.marks) == (None, [])
    assert [held.take(), held.take(), held.take()] == [1, 3, None]
    assert (held.suspect(is_alone=False), held.marks) == (None, [])
    assert (held.suspect(), held.marks) == (None, [(batch, 1)])
    held.waiting.marked(batch, 1)
    assert held.suspect() == 2
    assert held.waiting.room(busy=0) == 4


def test_after_ten_seconds_a_suspect_no_longer_waits_for_long_jobs() -> None:
    held = Held(4)
    batch = held.add_suspect(job(2, crash_count=SUSPECT, token=2))
    held.waiting.marked(batch, 1)

    assert held.suspect(now_s=9.0, is_alone=False) is None
    assert held.suspect(now_s=11.0, is_alone=False) == 2


def test_one_crash_makes_no_suspect() -> None:
    assert not job(1, crash_count=1).is_suspect
    assert job(1, crash_count=2).is_suspect


def test_behind_a_backlog_waiting_jobs_stay_for_ten_seconds_and_a_suspect_for_longer() -> None:
    held = Held(1)
    held.add(job(1))
    held.add_suspect(job(2, crash_count=SUSPECT, token=2))

    assert held.back(now_s=9.0) == []
    assert held.back(now_s=11.0) == [1]
    assert held.waiting.has_suspect
    assert held.back() == [2]
    assert held.waiting.held == 0


def test_jobs_that_do_not_start_after_all_are_charged_with_no_crash() -> None:
    held = Held(2)
    batch = held.add(*map(job, range(1, 9)))
    assert held.take() == 1

    held.waiting.stalled()
    assert held.marks == [(batch, 1)]
    assert held.take() is None
    held.waiting.marked(batch, 1)
    assert held.take() is None
    assert held.marks == [(batch, 1), (batch, 3)]
    held.waiting.marked(batch, 3)
    assert [held.take(), held.take()] == [2, 3]


def test_large_payloads_are_not_fetched_ahead_by_the_hundred() -> None:
    held = Held(10)
    for _ in range(5000):
        held.waiting.measured(0.0001)
    assert held.waiting.ahead == 2000

    held.add(job(1)._replace(args="x" * 1_000_000))
    assert held.waiting.ahead == 8


def test_jobs_that_waited_too_long_go_back_when_others_look_for_work() -> None:
    held = Held(1, Source(replace(QUEUE, idle=True), 1, Pace(poll_s=1.0)))
    held.add(job(1), job(2), at_s=0.0)
    held.add(job(3, token=2), at_s=5.0)
    assert held.take() == 1

    assert held.back(now_s=5.0) == [2]
    assert held.waiting.held == 1
    assert held.back() == [3]


def test_one_long_job_ends_the_fetching_ahead() -> None:
    waiting = Held(1).waiting
    for _ in range(200):
        waiting.measured(0.001)
    assert waiting.ahead == 100

    waiting.measured(10.0)
    assert waiting.ahead == 0


def test_one_short_job_is_no_reason_to_fetch_hundreds() -> None:
    waiting = Held(4).waiting
    waiting.measured(0.00001)

    assert waiting.room(busy=0) <= 5
