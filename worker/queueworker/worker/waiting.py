"""Claimed jobs that wait for a slot. Pure.

They are backlog that no other worker can take, so there are few: as many as the slots start
within a tenth of a second. After a second they go back if another worker looks for work; behind
a backlog they would only wait longer, and do so for ten seconds at most.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence

from queueworker.claim import Source
from queueworker.job import ClaimedJob

HOLD_S = 0.1
MARK_S = 0.02
MOST_HOLD_S = 1.0
MOST_HOLD_IN_BACKLOG_S = 10.0
MOST_AHEAD = 2000
LEAST_SERVICE_S = 1e-5
RISE, FALL = 0.5, 0.05

Unstarted = list[tuple[Source, ClaimedJob]]


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


Mark = Callable[[Batch, int], None]


class Waiting:
    """Hands jobs out in the order of their claims; `mark` asks to note that more may start.

    A suspect (its next crash buries it) runs alone: it is handed out last, and nothing after it.
    """

    def __init__(self, slots: int, mark: Mark) -> None:
        self._slots = slots
        self._mark = mark
        self._batches: deque[Batch] = deque()
        self._suspects: deque[tuple[Batch, ClaimedJob]] = deque()
        self._service_s: float | None = None
        self._short_runs = 0
        self.held = 0

    @property
    def ahead(self) -> int:
        """Give how many jobs to hold beyond the slots: no more than were seen to be short."""
        return min(self._short_runs, ahead_of(self._slots, self._service_s))

    @property
    def has_suspect(self) -> bool:
        """Tell whether a suspect waits: nothing more is claimed until it has run."""
        return bool(self._suspects)

    @property
    def has_startable(self) -> bool:
        """Tell whether `take` would give a job."""
        first = next((batch for batch in self._batches if batch.jobs), None)
        return first is not None and first.taken < first.marked

    def room(self, busy: int) -> int:
        """Give how many jobs to claim now."""
        return 0 if self._suspects else room_for(self._slots, busy, self.held, self.ahead)

    def startable(self, count: int, busy: int) -> int:
        """Give how many of a claim of `count` jobs may start before the next mark."""
        return min(count, max(self._slots - busy, self._chunk))

    def add(self, batch: Batch) -> Unstarted:
        """Take a claim; give the suspects that must go back.

        One suspect is kept: another in hand would be charged for its crash, and buried.
        """
        suspects = [job for job in batch.jobs if job.is_suspect]
        if suspects:
            batch.jobs = deque(job for job in batch.jobs if not job.is_suspect)
            self._request_mark(batch, batch.size)
        self._batches.append(batch)
        self.held += len(batch.jobs)
        if suspects and not self._suspects:
            self._suspects.append((batch, suspects.pop(0)))
            self.held += 1
        return [(batch.source, job) for job in suspects]

    def take(self) -> tuple[Batch, ClaimedJob] | None:
        """Hand out the next job that may start beside others."""
        batches = self._batches
        while batches and not batches[0].jobs:
            batches.popleft()
        # The first claim first, even where the database must be told before it goes on.
        if not batches or batches[0].taken >= batches[0].marked:
            return None
        batch = batches[0]
        batch.taken += 1
        self.held -= 1
        if batch.marked < batch.size and batch.marked - batch.taken <= self._chunk // 2:
            self._request_mark(batch, batch.marked + self._chunk)
        return batch, batch.jobs.popleft()

    def take_suspect(self) -> tuple[Batch, ClaimedJob] | None:
        """Hand out a suspect, when all else is done and the database knows that it may start."""
        if self._suspects and self.held == len(self._suspects):
            batch, job = self._suspects[0]
            if batch.marked >= batch.size:
                self._suspects.popleft()
                self.held -= 1
                return batch, job
        return None

    def marked(self, batch: Batch, count: int) -> None:
        """Note that the database knows that the first `count` jobs may start."""
        batch.marked = max(batch.marked, count)
        batch.is_marking = False

    def measured(self, service_s: float) -> None:
        """Learn from a run how long jobs take: quick to rise, slow to fall."""
        self._short_runs = self._short_runs + 1 if service_s < HOLD_S else 0
        known_s = self._service_s
        if known_s is None:
            self._service_s = service_s
        else:
            weight = RISE if service_s > known_s else FALL
            self._service_s = known_s + weight * (service_s - known_s)

    def remove(self, job_id: int) -> tuple[Source, ClaimedJob] | None:
        """Give up one job that waits."""
        for batch, job in [(b, j) for b in self._batches for j in b.jobs] + [*self._suspects]:
            if job.id == job_id:
                if (batch, job) in self._suspects:
                    self._suspects.remove((batch, job))
                else:
                    batch.jobs.remove(job)
                    # As if started: the marks count by places in the claim.
                    batch.taken += 1
                self.held -= 1
                return batch.source, job
        return None

    def take_back(self, now_s: float | None = None) -> Unstarted:
        """Give up jobs that wait: all, or those that have waited too long at `now_s`."""
        return self._take_back(
            lambda batch: now_s is None or now_s - batch.claimed_s > batch.most_hold_s
        )

    def take_back_of(self, source: Source) -> Unstarted:
        """Give up the jobs of one queue that wait."""
        return self._take_back(lambda batch: batch.source is source)

    def _take_back(self, is_chosen: Callable[[Batch], bool]) -> Unstarted:
        back: Unstarted = []
        for batch in self._batches:
            if is_chosen(batch):
                back.extend((batch.source, job) for job in batch.jobs)
                batch.jobs.clear()
        kept: deque[tuple[Batch, ClaimedJob]] = deque()
        for batch, job in self._suspects:
            if is_chosen(batch):
                back.append((batch.source, job))
            else:
                kept.append((batch, job))
        self._suspects = kept
        self._batches = deque(batch for batch in self._batches if batch.jobs)
        self.held -= len(back)
        return back

    def by_queue(self) -> dict[str, int]:
        """Count waiting jobs by queue."""
        return Counter(source.queue.name for source, _ in self.jobs())

    def jobs(self) -> Unstarted:
        """List all waiting jobs; safe to call from another thread."""
        held = [(batch.source, job) for batch in list(self._batches) for job in list(batch.jobs)]
        return held + [(batch.source, job) for batch, job in list(self._suspects)]

    @property
    def _chunk(self) -> int:
        # A crash is charged to what starts within `MARK_S`: marking job by job costs more.
        service_s = self._service_s
        soon = 0 if service_s is None else self._slots * MARK_S / max(service_s, LEAST_SERVICE_S)
        return max(self._slots, min(self._short_runs, int(soon)))

    def _request_mark(self, batch: Batch, count: int) -> None:
        count = min(count, batch.size)
        if count > batch.marked and not batch.is_marking:
            batch.is_marking = True
            self._mark(batch, count)
