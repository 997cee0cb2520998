"""Which statements enqueue some jobs. Pure.

A single job takes the lean function; a batch goes as one JSON array a kind of job; jobs with a time
or a key of their own as arrays; a large batch by COPY, where the role may.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from queueworker.errors import EnqueueRefused
from queueworker.job import Job
from queueworker.payload import checked, encode
from queueworker.statements import query

COPY_FROM_JOBS = 5_000
MAX_BATCH_JOBS = 5_000
MAX_BATCH_BYTES = 16 * 1024 * 1024
COPY_CHUNK_JOBS = 1_000
SMALL_BYTES = 250  # shorter arguments can break no bound
# Priority, max_attempts, timeout_s: what the SQL function takes by itself.
USUAL_OPTIONS = (0, 5, None)

Kind = tuple[str, str, int, int, float | None]
Parameters = tuple[object, ...] | dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One statement; it gives one row with the ids of the jobs at `places`, in their order."""

    places: Sequence[int]
    query: bytes
    parameters: Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyStep:
    """A COPY of ready jobs of one kind, between a reservation and a check."""

    places: Sequence[int]
    kind: Kind
    texts: Sequence[str]

    @property
    def needs_check(self) -> bool:
        """Tell whether the database must look at the size and depth of the rows."""
        return any(len(text) > SMALL_BYTES for text in self.texts)

    @property
    def reservation(self) -> Parameters:
        """Give the parameters of `reserve_positions`."""
        return (*self.kind, len(self.texts))

    def chunks(self, lane: tuple[int, int, str], positions: Sequence[int]) -> Iterator[str]:
        """Give the text of the COPY; `lane` is the queue's id, the lane's id and the time."""
        queue_id, lane_id, now_at = lane
        timeout_s = r"\N" if self.kind[4] is None else repr(float(self.kind[4]))
        middle = f"\t{lane_id}\t{queue_id}\t{now_at}\t{now_at}\t{self.kind[3]}\t{timeout_s}\t"
        for at in range(0, len(self.texts), COPY_CHUNK_JOBS):
            end = at + COPY_CHUNK_JOBS
            rows = zip(positions[at:end], self.texts[at:end], strict=True)
            yield "".join([f"{pos}\t{pos}{middle}{_escaped(text)}\n" for pos, text in rows])


def single(job: Job) -> Step:
    """Plan one job."""
    if _is_plain(job):
        call = (_text("queue", job.queue), _text("task", job.task), json_of(job))
        options = (job.priority, job.max_attempts, job.timeout_s)
        if options == USUAL_OPTIONS:  # half the parameters are 10 us less, here and there
            return Step(places=(0,), query=query("enqueue_usual"), parameters=call)
        return Step(places=(0,), query=query("enqueue"), parameters=(*call, *options))
    return Step(places=(0,), query=query("enqueue_any"), parameters=_any(job))


def steps(jobs: Sequence[Job], *, may_copy: bool) -> list[Step | CopyStep]:
    """Plan many jobs; those of one kind keep their order."""
    plain: dict[Kind, list[int]] = {}
    other: dict[tuple[Kind, str], list[int]] = {}
    for place, job in enumerate(jobs):
        kind = (job.queue, job.task, job.priority, job.max_attempts, job.timeout_s)
        if _is_plain(job):
            plain.setdefault(kind, []).append(place)
        else:
            other.setdefault((kind, job.on_duplicate), []).append(place)
    planned: list[Step | CopyStep] = []
    for kind, places in plain.items():
        planned.extend(_plain_steps(_storable(kind), jobs, places, may_copy=may_copy))
    for (kind, policy), places in other.items():
        planned.append(_keyed_step(_storable(kind), policy, jobs, places))
    return planned


def is_large(jobs: Sequence[Job]) -> bool:
    """Tell whether a COPY may pay."""
    return len(jobs) >= COPY_FROM_JOBS


def json_of(job: Job) -> str:
    """Give the text of the arguments.

    Raises:
        EnqueueRefused: they are no JSON, or out of bounds.
    """
    if job.args_json:
        return checked(job.task, job.args_json)
    try:
        return checked(job.task, encode(job.args))
    except (TypeError, ValueError, RecursionError):
        raise EnqueueRefused(
            f"the arguments of task {job.task!r} are not JSON, or nested too deep; give text, finite"
            " numbers, lists, dicts"
        ) from None


def _is_plain(job: Job) -> bool:
    return job.unique_key is None and job.run_at is None and job.delay_s is None


def _plain_steps(
    kind: Kind, jobs: Sequence[Job], places: Sequence[int], *, may_copy: bool
) -> Iterator[Step | CopyStep]:
    texts = [json_of(jobs[place]) for place in places]
    if may_copy and len(places) >= COPY_FROM_JOBS:
        yield CopyStep(places=places, kind=kind, texts=texts)
        return
    start = size = 0
    for end, text in enumerate(texts):
        size += len(text)
        if end - start == MAX_BATCH_JOBS or (size > MAX_BATCH_BYTES and end > start):
            yield _batch(kind, places[start:end], texts[start:end])
            start, size = end, len(text)
    yield _batch(kind, places[start:], texts[start:])


def _batch(kind: Kind, places: Sequence[int], texts: Sequence[str]) -> Step:
    queue, task, *options = kind
    parameters = (queue, task, "[" + ",".join(texts) + "]", *options)
    return Step(places=places, query=query("enqueue_batch"), parameters=parameters)


def _keyed_step(kind: Kind, policy: str, jobs: Sequence[Job], places: Sequence[int]) -> Step:
    queue, task, priority, max_attempts, timeout_s = kind
    chosen = [jobs[place] for place in places]
    return Step(
        places=places,
        query=query("enqueue_many"),
        parameters={
            "queue": queue,
            "task": task,
            "priority": priority,
            "max_attempts": max_attempts,
            "timeout_s": timeout_s,
            "args": [json_of(job) for job in chosen],
            "run_ats": [job.run_at for job in chosen],
            "delays_s": [job.delay_s for job in chosen],
            "unique_keys": [_text("unique_key", job.unique_key) for job in chosen],
            "on_duplicate": policy,
        },
    )


def _any(job: Job) -> Parameters:
    return {
        "queue": _text("queue", job.queue),
        "task": _text("task", job.task),
        "args": json_of(job),
        "priority": job.priority,
        "max_attempts": job.max_attempts,
        "timeout_s": job.timeout_s,
        "run_at": job.run_at,
        "delay_s": job.delay_s,
        "unique_key": _text("unique_key", job.unique_key),
        "on_duplicate": job.on_duplicate,
    }


def _storable(kind: Kind) -> Kind:
    _text("queue", kind[0])
    _text("task", kind[1])
    return kind


def _text(what: str, value: str | None) -> str | None:
    if value is None or (value.isascii() and "\0" not in value):
        return value
    if "\0" in value or not _is_unicode(value):
        raise EnqueueRefused(f"{what} has a character that Postgres cannot store (NUL, surrogate)")
    return value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escaped(text: str) -> str:
    # JSON in ASCII has no tab and no line end of its own.
    return text.replace("\\", "\\\\") if "\\" in text else text
