"""What a caller gives to an enqueue, checked before anything is sent."""

from collections.abc import Iterable
from typing import Any

from queueworker.errors import InvalidCall
from queueworker.job import Job, Policy


def chosen(job: Job, **options: Any) -> Job:
    """Give the job with those options that are set.

    Raises:
        InvalidCall: it is no job.
    """
    check_job(job)
    given = {name: value for name, value in options.items() if value is not None}
    if not given:
        return job
    if "run_at" in given or "delay_s" in given:  # the call's time replaces the job's own
        given = {"run_at": None, "delay_s": None, **given}
    return job.using(**given)


def for_all(jobs: Iterable[Job], on_duplicate: Policy | None) -> list[Job]:
    """Give the jobs as a list, with this policy if it is set.

    Raises:
        InvalidCall: one of them is no job, or it is one job alone.
    """
    if isinstance(jobs, Job):
        raise InvalidCall("enqueue_many takes a list of jobs; give [job], or call enqueue")
    chosen_jobs = list(jobs)
    for job in chosen_jobs:
        check_job(job)
    if on_duplicate is None:
        return chosen_jobs
    return [job.using(on_duplicate=on_duplicate) for job in chosen_jobs]


def check_job(job: object) -> None:
    """Refuse what is no job: above all a task that was not called."""
    if isinstance(job, Job):
        return
    name = getattr(job, "name", None) or getattr(job, "__name__", None)
    if callable(job) and name:
        raise InvalidCall(f"{name} was not called; write enqueue({name}(...)) with its arguments")
    raise InvalidCall(f"enqueue takes a job, not {type(job).__name__}; call a task to make one")
