"""What a worker has in hand, and in which order it starts it."""

from dataclasses import replace

from queueworker.claim import Pace, Source
from queueworker.job import ClaimedJob
from queueworker.store import QueueRow
from queueworker.worker.slots import Batch, Run, Slots

QUEUE = QueueRow(id=1, name="mail", part="job_default", paused=False)
SOURCE = Source(QUEUE, 1, Pace(poll_s=1.0))


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
        args=b"{}",
    )


class Worker:
    """Slots whose starts and marks are written down."""

    def __init__(self, count: int, source: Source = SOURCE) -> None:
        self.source = source
        self.begun: list[int] = []
        self.marks: list[tuple[Batch, int]] = []
        self.stuck = 0
        self.slots = Slots(count, self.begin, self.mark, lambda: self.stuck)

    def begin(self, source: Source, job: ClaimedJob, claimed_s: float) -> Run:
        self.begun.append(job.id)
        return Run(source, job, claimed_s)

    def mark(self, batch: Batch, count: int) -> None:
        self.marks.append((batch, count))

    def take(self, *jobs: ClaimedJob, marked: int | None = None, at_s: float = 0.0) -> list[int]:
        batch = Batch(self.source, jobs, len(jobs) if marked is None else marked, at_s)
        return [back.id for _, back in self.slots.accept(batch)]

    def end(self, number: int, service_s: float = 1.0, token: int = 1) -> None:
        self.slots.ended(self.slots.runs[(number, token)], service_s)


def test_jobs_start_in_the_order_of_the_claim_as_slots_get_free() -> None:
    worker = Worker(2)
    worker.take(job(1), job(2), job(3), job(4))
    assert worker.begun == [1, 2]

    worker.end(2)
    assert worker.begun == [1, 2, 3]
    assert (worker.slots.busy, worker.slots.held) == (2, 1)


def test_a_job_starts_only_after_the_database_knows_that_it_may() -> None:
    worker = Worker(2)
    worker.take(*map(job, range(1, 6)), marked=1)
    assert worker.begun == [1]

    (batch, count) = worker.marks[0]
    worker.slots.marked(batch, count)
    assert count > 1
    assert worker.begun == [1, 2]


def test_a_suspect_waits_for_the_others_and_then_keeps_them_waiting() -> None:
    worker = Worker(4)
    worker.take(job(1), job(2, crash_count=1), job(3))
    assert worker.begun == [1, 3]
    assert worker.slots.room() == 0

    worker.end(1)
    assert worker.begun == [1, 3]
    worker.end(3)
    assert worker.begun == [1, 3, 2]
    assert worker.slots.room() == 0
    worker.end(2)
    assert worker.slots.room() == 4


def test_only_one_suspect_is_kept_and_the_others_go_back() -> None:
    worker = Worker(4)
    back = worker.take(*(job(number, crash_count=1) for number in (1, 2, 3)))

    assert worker.begun == [1]
    assert back == [2, 3]


def test_behind_a_backlog_waiting_jobs_stay_for_ten_seconds() -> None:
    worker = Worker(1)
    worker.take(job(1), job(2))

    assert worker.slots.take_back(now_s=9.0) == []
    assert [back.id for _, back in worker.slots.take_back(now_s=11.0)] == [2]


def test_jobs_that_waited_too_long_go_back_when_others_look_for_work() -> None:
    worker = Worker(1, Source(replace(QUEUE, idle=True), 1, Pace(poll_s=1.0)))
    worker.take(job(1), job(2, token=1), at_s=0.0)
    worker.take(job(3, token=2), at_s=5.0)

    assert [back.id for _, back in worker.slots.take_back(now_s=5.0)] == [2]
    assert worker.slots.held == 1
    assert [back.id for _, back in worker.slots.take_back()] == [3]


def test_an_abandoned_run_frees_its_slot_and_its_end_counts_no_more() -> None:
    worker = Worker(1)
    worker.take(job(1))
    (run,) = worker.slots.abandon()
    assert run.is_abandoned
    assert worker.slots.busy == 0

    worker.take(job(2, token=2))
    worker.slots.ended(run, 1.0)
    assert worker.slots.busy == 1


def test_threads_that_were_given_up_keep_their_slots() -> None:
    worker = Worker(2)
    worker.stuck = 2
    worker.take(job(1))

    assert worker.begun == []
    assert worker.slots.room() == 0
    worker.stuck = 1
    worker.slots.fill()
    assert worker.begun == [1]


def test_one_long_job_ends_the_fetching_ahead() -> None:
    worker = Worker(1)
    for number in range(1, 200):
        worker.take(job(number))
        worker.end(number, service_s=0.001)
    assert worker.slots.ahead == 100

    worker.take(job(200))
    worker.end(200, service_s=10.0)
    assert worker.slots.ahead == 0


def test_one_short_job_is_no_reason_to_fetch_hundreds() -> None:
    worker = Worker(4)
    worker.take(job(1))
    worker.end(1, service_s=0.00001)

    assert worker.slots.room() <= 5
