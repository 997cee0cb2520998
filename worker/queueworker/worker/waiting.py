"""Claimed jobs that wait for a slot. Pure.

They are backlog that no other worker can take, so there are few: as many as the slots start
within a tenth of a second, and no more than a few megabytes. After a second they go back if
another worker looks for work; behind a backlog they would only wait longer, and do so for ten
seconds at most.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence

from queueworker.claim import Source
from queueworker.job import ClaimedJob

HOLD_S = 0.1
MARK_S = 0.02
MOST_HOLD_S = 1.0
MOST_HOLD_IN_BACKLOG_S = 10.0
MOST_ALONE_S = 10.0
MOST_AHEAD = 2000
MOST_AHEAD_CHARACTERS = 8_000_000
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

    A suspect (its next crash buries it) stands in a claim of its own and runs alone: after all
    others in hand, while nothing more is claimed. One at a time; what runs on for more than
    `MOST_ALONE_S` no longer keeps it waiting.
    """

    def __init__(self, slots: int, mark: Mark) -> None:
        self._slots = slots
        self._mark = mark
        self._batches: deque[Batch] = deque()
        self._suspect: Batch | None = None
        self._characters = 0.0
        self._service_s: float | None = None
        self._short_runs = 0
        self.held = 0

    @property
    def ahead(self) -> int:
        """Give how many jobs to hold beyond the slots: no more than were seen to be short."""
        fitting = int(MOST_AHEAD_CHARACTERS / max(1.0, self._characters))
        return min(self._short_runs, fitting, ahead_of(self._slots, self._service_s))

    @property
    def has_suspect(self) -> bool:
        """Tell whether a suspect waits: nothing more is claimed until it runs."""
        return self._suspect is not None

    def may_start(self) -> bool:
        """Tell whether `take` gives a job; where only the mark is missing, ask for it."""
        while self._batches and not self._batches[0].jobs:
            self._batches.popleft()
        if not self._batches:
            return False
        first = self._batches[0]
        if first.taken < first.marked:
            return True
        self._request_mark(first, first.marked + self._chunk)
        return False

    def room(self, busy: int) -> int:
        """Give how many jobs to claim now."""
        return 0 if self._suspect else room_for(self._slots, busy, self.held, self.ahead)

    def startable(self, count: int, busy: int) -> int:
        """Give how many of a claim of `count` jobs may start before the next mark."""
        return min(count, max(self._slots - busy, self._chunk))

    def add(self, batch: Batch) -> None:
        """Take a claim."""
        self._batches.append(batch)
        self.held += len(batch.jobs)
        self._characters = sum(len(job.args) for job in batch.jobs) / batch.size

    def add_suspect(self, batch: Batch) -> None:
        """Take the claim of one suspect."""
        self._suspect = batch
        self.held += 1

    def take(self) -> tuple[Batch, ClaimedJob] | None:
        """Hand out the next job that may start beside others."""
        # The first claim first, even where the database must be told before it goes on.
        if not self.may_start():
            return None
        batch = self._batches[0]
        batch.taken += 1
        self.held -= 1
        if batch.marked < batch.size and batch.marked - batch.taken <= self._chunk // 2:
            self._request_mark(batch, batch.marked + self._chunk)
        return batch, batch.jobs.popleft()

    def take_suspect(self, now_s: float, *, is_alone: bool) -> tuple[Batch, ClaimedJob] | None:
        """Hand out the suspect: alone, or when it has waited long, after the database knows of it."""
        batch = self._suspect
        if batch is None:
            return None
        if not (is_alone and self.held == 1) and now_s - batch.claimed_s < MOST_ALONE_S:
            return None
        if not batch.marked:
            self._request_mark(batch, 1)
            return None
        self._suspect = None
        self.held -= 1
        return batch, batch.jobs.popleft()

    def marked(self, batch: Batch, count: int) -> None:
        """Note that the database knows that the first `count` jobs may start."""
        batch.marked = count
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

    def stalled(self) -> None:
        """Take back that jobs may start: what runs takes longer than was foreseen."""
        self._short_runs = 0
        for batch in self._batches:
            if batch.jobs and batch.taken < batch.marked and not batch.is_marking:
                batch.marked = batch.taken
                batch.is_marking = True
                self._mark(batch, batch.taken)

    def remove(self, job_id: int) -> tuple[Source, ClaimedJob] | None:
        """Give up one job that waits."""
        suspects = () if self._suspect is None else (self._suspect,)
        for batch in (*self._batches, *suspects):
            for job in batch.jobs:
                if job.id == job_id:
                    batch.jobs.remove(job)
                    # As if started: the marks count by places in the claim.
                    batch.taken += 1
                    self.held -= 1
                    self._suspect = None if batch is self._suspect else self._suspect
                    return batch.source, job
        return None

    def take_back(self, now_s: float | None = None) -> Unstarted:
        """Give up jobs that wait: all, or those that have waited too long at `now_s`.

        The suspect stays: given back, it would only stop another worker.
        """
        return self._take_back(
            lambda batch: (
                now_s is None
                or (now_s - batch.claimed_s > batch.most_hold_s and batch is not self._suspect)
            )
        )

    def take_back_of(self, source: Source) -> Unstarted:
        """Give up the jobs of one queue that wait."""
        return self._take_back(lambda batch: batch.source is source)

    def _take_back(self, is_chosen: Callable[[Batch], bool]) -> Unstarted:
        chosen = [batch for batch in self._batches if is_chosen(batch)]
        if self._suspect is not None and is_chosen(self._suspect):
            chosen.append(self._suspect)
            self._suspect = None
        back = [(batch.source, job) for batch in chosen for job in batch.jobs]
        for batch in chosen:
            batch.jobs.clear()
        self._batches = deque(batch for batch in self._batches if batch.jobs)
        self.held -= len(back)
        return back

    def by_queue(self) -> dict[str, int]:
        """Count waiting jobs by queue."""
        return Counter(source.queue.name for source, _ in self.jobs())

    def jobs(self) -> Unstarted:
        """List all waiting jobs; safe to call from another thread."""
        suspect = self._suspect
        batches = [*self._batches, *(() if suspect is None else (suspect,))]
        return [(batch.source, job) for batch in batches for job in list(batch.jobs)]

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
