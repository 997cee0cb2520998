"""PURE: what the workers told, read back."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.keda.pool import Removal

TOGETHER_S = 0.5  # pods that one step of the replicas removes end within this time


class Entry(NamedTuple):
    """One line: `what` is start, end or stopped."""

    at_s: float
    what: str
    queue: str
    pod: str
    job: int
    attempt: int


def read(path: Path) -> list[Entry]:
    """Give all lines in the order of their times."""
    if not path.exists():
        return []
    whole, _, _half = path.read_text().rpartition("\n")  # a worker may be writing
    lines = [line.split() for line in whole.splitlines()]
    entries = [
        Entry(float(at), what, queue, pod, int(job), int(attempt))
        for at, what, queue, pod, job, attempt in lines
    ]
    return sorted(entries)


def by_job(entries: Iterable[Entry]) -> dict[int, list[Entry]]:
    """Give the lines of each job."""
    jobs: defaultdict[int, list[Entry]] = defaultdict(list)
    for entry in entries:
        jobs[entry.job].append(entry)
    return dict(jobs)


def interrupted(entries: Iterable[Entry]) -> list[int]:
    """Give the jobs with a start that came to no end before another start, or before the last line."""
    return [
        job
        for job, lines in by_job(entries).items()
        if sum(line.what == "start" for line in lines) > sum(line.what == "end" for line in lines)
    ]


def steps(removals: Iterable[Removal]) -> list[list[Removal]]:
    """Give the pods that were told to end together, by step."""
    found: list[list[Removal]] = []
    for one in sorted(removals, key=lambda one: (one.queue, one.at_s)):
        last = found[-1][-1] if found else None
        if last and last.queue == one.queue and one.at_s - last.at_s < TOGETHER_S:
            found[-1].append(one)
        else:
            found.append([one])
    return found


def had_busy(step: Iterable[Removal]) -> bool:
    """Tell whether a pod of the queue ran a job at the step: a wrong choice was possible."""
    return any(one.is_busy or one.busy for one in step)


def wrong(removals: Sequence[Removal]) -> list[Removal]:
    """Give the removals of a busy pod while another one was idle, and stayed."""
    return [one for one in removals if one.is_busy and _idle_that_stayed(one, removals)]


def _idle_that_stayed(removal: Removal, removals: Sequence[Removal]) -> set[str]:
    together = {
        other.pod
        for other in removals
        if other.queue == removal.queue and abs(other.at_s - removal.at_s) < TOGETHER_S
    }
    return set(removal.idle) - together
