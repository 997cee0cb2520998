"""What a worker and its child processes say to each other: one JSON text a line, never pickle."""

import json
from collections.abc import Mapping
from typing import Any, assert_never

from queueworker.context import Context
from queueworker.execute.call import Call
from queueworker.job import (
    SUCCEEDED,
    Cancelled,
    ClaimedJob,
    Discarded,
    Failed,
    FailureKind,
    Outcome,
    Released,
    RetryLater,
    Settled,
    Succeeded,
    TimedOut,
)
from queueworker.task import TaskRegistry

MOST_FRAME_BYTES = 8 << 20
READY = b'{"ready": true}\n'


class ForeignAnswer(Exception):
    """What came is not from the child's own code: its answers are bounded, and JSON."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the handler wrote what is no answer into the worker's channel ({what});"
            " let it leave file descriptors alone that it did not open"
        )


def call_frame(call: Call) -> bytes:
    """Write a call for a child."""
    job = call.job
    frame = {
        "task": call.task.name,
        "queue": call.queue,
        "args": job.args,
        "id": job.id,
        "token": job.token,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "crash_count": job.crash_count,
        "timeout_s": job.timeout_s,
    }
    return _line(frame)


def read_call(line: bytes, registry: TaskRegistry) -> Call:
    """Read a call in the child; the name finds a registered task, never a thing to import."""
    frame = json.loads(line)
    task = registry.get(frame.pop("task"))
    queue = frame.pop("queue")
    job = ClaimedJob(lane=0, pos=0, run_at_wait_s=0.0, **frame)
    context = Context(job, queue=queue, task=task.name) if task.wants_context else None
    return Call(task, job, queue, context)


def outcome_frame(outcome: Outcome) -> bytes:
    """Write what a child's handler came to."""
    return _line(_outcome_fields(outcome))


def _outcome_fields(outcome: Outcome) -> Mapping[str, object]:
    match outcome:
        case Succeeded() | Settled():
            return {"outcome": "succeeded"}
        case Failed(error=error, kind=kind, traceback=traceback):
            failed = {"error": error, "kind": kind.value, "traceback": traceback}
            return {"outcome": "failed", **failed}
        case RetryLater(delay_s=delay_s, reason=reason):
            return {"outcome": "retry", "delay_s": delay_s, "reason": reason}
        case Discarded(reason=reason):
            return {"outcome": "discarded", "reason": reason}
        case TimedOut() | Cancelled() | Released():
            return {"outcome": "failed", "error": "stopped", "kind": FailureKind.CANCELLED.value}
        case _:
            assert_never(outcome)


def read_outcome(line: bytes) -> Outcome:
    """Read a child's answer.

    Raises:
        ForeignAnswer: it is none.
    """
    try:
        return _outcome(json.loads(line))
    except (ValueError, KeyError, TypeError):
        raise ForeignAnswer(f"{len(line):,} bytes") from None


def _outcome(frame: Mapping[str, Any]) -> Outcome:
    match frame["outcome"]:
        case "succeeded":
            return SUCCEEDED
        case "retry":
            return RetryLater(delay_s=float(frame["delay_s"]), reason=str(frame["reason"]))
        case "discarded":
            return Discarded(reason=str(frame["reason"]))
        case _:
            kind = FailureKind(frame["kind"])
            traceback = str(frame.get("traceback", ""))
            return Failed(error=str(frame["error"]), kind=kind, traceback=traceback)


def _line(frame: Mapping[str, object]) -> bytes:
    return json.dumps(frame).encode() + b"\n"
