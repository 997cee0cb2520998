"""What a worker has in hand: running jobs in slots, and claimed jobs that wait for one.

Waiting jobs are backlog that no other worker can take, so there are few: as many as the slots
start within a tenth of a second. After a second they go back if another worker looks for work;
behind a backlog they would only wait longer, and do so for ten seconds at most.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence

from queueworker.claim import Source
from queueworker.job import ClaimedJob

HOLD_S = 0.1
MOST_HOLD_S = 1.0
MOST_HOLD_IN_BACKLOG_S = 10.0
MOST_AHEAD = 500
LEAST_SERVICE_S = 1e-5
RISE, FALL = 0.5, 0.05


def ahead_of(slots: int, service_s: float | None) -> int:
    """Give how many jobs to hold beyond the slots: those that start within `HOLD_S`."""
    if service_s is None:
        return 0
    return min(MOST_AHEAD, int(slots * HOLD_S / max(service_s, LEAST_SERVICE_S)))


def room_for(slots: int, busy: int, held: int, ahead: int) -> int:
    """Give how many jobs to claim: all that fit, but no handful while enough are held."""
    room = slots + ahead - busy - held
    has_free_slot = busy + held < slots
    return max(0, room) if has_free_slot or held <= ahead // 2 else 0


class Run:
    """One job in a slot."""

    __slots__ = ("is_abandoned", "job", "source", "started_s", "task")

    def __init__(self, source: Source, job: ClaimedJob, started_s: float) -> None:
        self.source = source
        self.job = job
        self.started_s = started_s
        self.is_abandoned = False
        self.task: asyncio.Task[None] | None = None


class Batch:
    """The jobs of one claim that wait.

    The first `marked` of the claim may start: the database knows that, and charges a crash of
    this worker to no others.
    """

    __slots__ = ("claimed_s", "is_marking", "jobs", "marked", "size", "source", "taken", "token")

    def __init__(
        self, source: Source, jobs: Sequence[ClaimedJob], marked: int, claimed_s: float
    ) -> None:
        self.source = source
        self.token = jobs[0].token
        self.jobs = deque(jobs)
        self.size = len(jobs)
        self.taken = 0
        self.marked = marked
        self.is_marking = False
        self.claimed_s = claimed_s

    @property
    def most_hold_s(self) -> float:
        """Give how long these jobs may wait here."""
        return MOST_HOLD_S if self.source.queue.idle else MOST_HOLD_IN_BACKLOG_S


Begin = Callable[[Source, ClaimedJob, float], Run]
Mark = Callable[[Batch, int], None]
Unstarted = list[tuple[Source, ClaimedJob]]


class Slots:
    """Fills slots from batches. `begin` starts a job, `mark` asks to note that more may start."""

    def __init__(self, count: int, begin: Begin, mark: Mark, stuck: Callable[[], int]) -> None:
        self.count = count
        self.runs: dict[tuple[int, int], Run] = {}
        self._begin = begin
        self._mark = mark
        self._stuck = stuck
        self._batches: deque[Batch] = deque()
        self._suspect: tuple[Batch, ClaimedJob] | None = None
        self._is_alone = False
        self._service_s: float | None = None
        self._short_runs = 0
        self.held = 0

    @property
    def busy(self) -> int:
        """Give how many slots are taken: by handlers, or by threads that were given up."""
        return len(self.runs) + self._stuck()

    @property
    def ahead(self) -> int:
        """Give how many jobs to hold beyond the slots: no more than were seen to be short."""
        return min(self._short_runs, ahead_of(self.count, self._service_s))

    def room(self) -> int:
        """Give how many jobs to claim now; none while a suspect is in hand."""
        if self._suspect is not None or self._is_alone:
            return 0
        return room_for(self.count, self.busy, self.held, self.ahead)

    def startable(self, count: int) -> int:
        """Give how many of a claim of `count` jobs may start before the next mark."""
        return min(count, max(self.count - self.busy, self._chunk))

    def accept(self, batch: Batch) -> Unstarted:
        """Take a claim; give back the suspects for which there is no place.

        A suspect (an earlier run took its worker down) runs alone: one is kept until all else
        is done, other workers may take the others.
        """
        suspects = [job for job in batch.jobs if job.is_suspect]
        if suspects:
            batch.jobs = deque(job for job in batch.jobs if not job.is_suspect)
            self._request_mark(batch, batch.size)
        self._batches.append(batch)
        self.held += len(batch.jobs)
        if suspects and self._suspect is None and not self._is_alone:
            self._suspect = (batch, suspects.pop(0))
            self.held += 1
        self.fill()
        return [(batch.source, job) for job in suspects]

    def fill(self) -> None:
        """Start jobs while there are free slots."""
        free = 0 if self._is_alone else self.count - self.busy
        for _ in range(free):
            batch = self._startable()
            if batch is None:
                break
            batch.taken += 1
            self._start(batch, batch.jobs.popleft())
            if batch.marked - batch.taken <= self._chunk // 2:
                self._request_mark(batch, batch.marked + self._chunk)
        if self._suspect is not None and self._suspect_is_next(self._suspect[0]):
            (batch, job), self._suspect = self._suspect, None
            self._is_alone = True
            self._start(batch, job)

    def ended(self, run: Run, service_s: float) -> None:
        """Free the slot of a run and start the next job."""
        if self.runs.pop((run.job.id, run.job.token), None) is None:
            return
        if not self.runs:
            self._is_alone = False
        self._measure(service_s)
        self.fill()

    def marked(self, batch: Batch, count: int) -> None:
        """Note that the database knows that the first `count` jobs may start."""
        batch.marked = max(batch.marked, count)
        batch.is_marking = False
        self.fill()

    def take_back(self, now_s: float | None = None) -> Unstarted:
        """Give up jobs that wait: all, or those that have waited too long at `now_s`."""
        back: Unstarted = []
        for batch in self._batches:
            if now_s is None or now_s - batch.claimed_s > batch.most_hold_s:
                back.extend((batch.source, job) for job in batch.jobs)
                batch.jobs.clear()
        if self._suspect is not None and now_s is None:
            back.append((self._suspect[0].source, self._suspect[1]))
            self._suspect = None
        self._batches = deque(batch for batch in self._batches if batch.jobs)
        self.held -= len(back)
        return back

    def abandon(self) -> list[Run]:
        """Give up all running jobs: cancel what can be cancelled, whatever it comes to is void."""
        runs = list(self.runs.values())
        self.runs.clear()
        self._is_alone = False
        for run in runs:
            run.is_abandoned = True
            if run.task is not None:
                run.task.cancel()
        return runs

    def busy_by_queue(self) -> dict[str, int]:
        """Count running jobs by queue."""
        return Counter(run.source.queue.name for run in self.runs.values())

    def held_by_queue(self) -> dict[str, int]:
        """Count waiting jobs by queue."""
        counts: Counter[str] = Counter()
        for batch in self._batches:
            counts[batch.source.queue.name] += len(batch.jobs)
        if self._suspect is not None:
            counts[self._suspect[0].source.queue.name] += 1
        return counts

    def in_hand(self) -> Unstarted:
        """List all jobs, running or waiting; safe to call from another thread."""
        runs = [(run.source, run.job) for run in list(self.runs.values())]
        held = [(batch.source, job) for batch in list(self._batches) for job in list(batch.jobs)]
        return runs + held

    def _measure(self, service_s: float) -> None:
        self._short_runs = self._short_runs + 1 if service_s < HOLD_S else 0
        known_s = self._service_s
        if known_s is None:
            self._service_s = service_s
        else:
            weight = RISE if service_s > known_s else FALL
            self._service_s = known_s + weight * (service_s - known_s)

    def _suspect_is_next(self, batch: Batch) -> bool:
        return not self.runs and self.held == 1 and batch.marked >= batch.size

    @property
    def _chunk(self) -> int:
        return max(self.count, self.ahead // 5)

    def _start(self, batch: Batch, job: ClaimedJob) -> None:
        self.held -= 1
        run = self._begin(batch.source, job, batch.claimed_s)
        self.runs[(job.id, job.token)] = run

    def _startable(self) -> Batch | None:
        while self._batches and not self._batches[0].jobs:
            self._batches.popleft()
        for batch in self._batches:
            if batch.taken < batch.marked and batch.jobs:
                return batch
        return None

    def _request_mark(self, batch: Batch, count: int) -> None:
        count = min(count, batch.size)
        if count > batch.marked and not batch.is_marking:
            batch.is_marking = True
            self._mark(batch, count)
