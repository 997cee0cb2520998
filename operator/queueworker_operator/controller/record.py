"""PURE: a decision with all that it was made of, as JSON; and the same decision made again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from queueworker_operator.decision.codec import decode, encode
from queueworker_operator.decision.decide import decide
from queueworker_operator.decision.model import Decision, Policy, Replicas, Sample
from queueworker_operator.decision.state import State, from_record, to_record


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


def replay(record: Mapping[str, Any]) -> Decision:
    """Make a recorded decision again, from what was recorded with it.

    Raises:
        InvalidRecord: another version wrote it.
    """
    sample = record["sample"]
    decision, _ = decide(
        decode(Policy, record["policy"]),
        from_record(record["state"]),
        None if sample is None else decode(Sample, sample),
        decode(Replicas, record["replicas"]),
        blind_s=float(record.get("blind_s", 0.0)),
    )
    return decision
