"""PURE: a decision with all that it was made of, as JSON; and the same decision made again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from queueworker_operator.decision.codec import InvalidRecord, decode, encode
from queueworker_operator.decision.decide import decide, weigh
from queueworker_operator.decision.model import Decision, Policy, Reason, Replicas, Sample
from queueworker_operator.decision.state import State, from_record, to_record
from queueworker_operator.decision.working import Working, work_out

UNWEIGHED = {Reason.PAUSED, Reason.MANUAL, Reason.NO_METRICS, Reason.FALLBACK}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A decision, and what `decide` was given: `state` is the one before it."""

    policy: Policy
    state: State
    sample: Sample | None
    replicas: Replicas
    decision: Decision
    blind_s: float = 0.0


def to_json(verdict: Verdict, asked: int | None) -> dict[str, Any]:
    """Build the record of a verdict; `asked` is what the target was asked for, None for nothing."""
    return {
        "policy": encode(verdict.policy),
        "state": to_record(verdict.state),
        "sample": encode(verdict.sample),
        "replicas": encode(verdict.replicas),
        "decision": encode(verdict.decision),
        "blind_s": verdict.blind_s,
        "asked": asked,
    }


def facts_of(verdict: Verdict) -> dict[str, Any]:
    """Give the numbers of a verdict that a log line tells; all of them are in the record."""
    decision, replicas, sample = verdict.decision, verdict.replicas, verdict.sample
    read = (
        {}
        if sample is None
        else {
            "waiting": sample.ready,
            "oldest_age_s": sample.oldest_age_s,
            "running": sample.running,
            "enqueued_total": sample.enqueued_total,
            "started_total": sample.started_total,
            "late_total": sample.late_total,
        }
    )
    return {
        **{name: value for name, value in encode(decision).items() if name != "message"},
        "ready_pods": replicas.ready,
        "starting_pods": len(replicas.starting_ages_s),
        "promise_s": verdict.policy.start_within_s,
        "mode": verdict.policy.mode.value,
        "blind_s": verdict.blind_s,
        **read,
    }


def recall(record: Mapping[str, Any]) -> Verdict:
    """Read a record back.

    Raises:
        InvalidRecord: another version wrote it.
    """
    try:
        sample = record["sample"]
        return Verdict(
            policy=decode(Policy, record["policy"]),
            state=from_record(record["state"]),
            sample=None if sample is None else decode(Sample, sample),
            replicas=decode(Replicas, record["replicas"]),
            decision=decode(Decision, record["decision"]),
            blind_s=float(record.get("blind_s", 0.0)),
        )
    except (AttributeError, KeyError, TypeError) as exc:
        raise InvalidRecord(f"the record is damaged or of another version: {exc!r}") from exc


def replay(record: Mapping[str, Any]) -> Decision:
    """Make a recorded decision again, from what was recorded with it.

    Raises:
        InvalidRecord: another version wrote it.
    """
    return _again(recall(record))


def _again(told: Verdict) -> Decision:
    decision, _ = decide(told.policy, told.state, told.sample, told.replicas, blind_s=told.blind_s)
    return decision


def work_out_again(record: Mapping[str, Any]) -> Working | None:
    """Work a recorded decision out step by step; None for one that nothing was weighed for.

    Raises:
        InvalidRecord: another version wrote it.
    """
    told = recall(record)
    if told.sample is None or told.decision.reason in UNWEIGHED:
        return None
    return work_out(weigh(told.policy, told.state, told.sample, told.replicas))


def difference(record: Mapping[str, Any]) -> str | None:
    """Replay a record; None when every field comes out the same bit for bit, else what does not.

    Raises:
        InvalidRecord: another version wrote it.
    """
    verdict = recall(record)
    now, told = encode(_again(verdict)), encode(verdict.decision)
    differing = [name for name in told if repr(told[name]) != repr(now[name])]
    if not differing:
        return _unasked(record)
    return ", ".join(f"{name} {told[name]!r} now {now[name]!r}" for name in differing)


def _unasked(record: Mapping[str, Any]) -> str | None:
    """Tell when the target was asked for a number that lies not between the old and the decided."""
    asked, decision = record.get("asked"), record["decision"]
    if asked is None:
        return None
    low, high = sorted((int(decision["current"]), int(decision["desired"])))
    return None if low <= asked <= high else f"asked for {asked}, decided {decision['desired']}"
