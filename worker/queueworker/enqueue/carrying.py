"""Jobs that carry the span in which they are enqueued, where there is one."""

from collections.abc import Sequence
from dataclasses import replace

from queueworker.carried import current_traceparent, with_traceparent
from queueworker.enqueue.plan import json_of
from queueworker.job import Job, with_json


def carrying(job: Job) -> Job:
    """Give the job itself where nobody collects spans, else one that carries the current span."""
    traceparent = current_traceparent()
    return job if traceparent is None else _with(job, traceparent)


def all_carrying(jobs: Sequence[Job]) -> Sequence[Job]:
    """Give the jobs likewise."""
    traceparent = current_traceparent()
    return jobs if traceparent is None else [_with(job, traceparent) for job in jobs]


def _with(job: Job, traceparent: str) -> Job:
    return with_json(replace(job), with_traceparent(json_of(job), traceparent))
