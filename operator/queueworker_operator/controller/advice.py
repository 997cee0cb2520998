"""PURE: what each policy asks for, and how far forecasts were from what came; for metrics alone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from queueworker_operator.controller.record import Verdict
from queueworker_operator.decision.decide import decide
from queueworker_operator.decision.model import Decision, Mode, Policy, Sample
from queueworker_operator.decision.regime import OBSERVE_EVERY_S

# Names as `simulate --policy` has them.
OURS, KEDA = "dbc", "keda"
_WINDOW_S = 30.0
_LATEST_S = 2 * OBSERVE_EVERY_S
_MEMORY_S = 600.0


def recommended(verdict: Verdict) -> Mapping[str, int]:
    """Give the replicas that each policy asks for of this sample; none without a sample.

    Ours without the manual override and as in mode Auto, so that a pause or a fixed number can be
    judged; KEDA's by the query of its documented example, without its windows and steps.
    """
    policy, sample = verdict.policy, verdict.sample
    if sample is None:
        return {}
    decision = verdict.decision
    if policy.mode is Mode.PAUSED or policy.replicas is not None:
        free = replace(policy, mode=Mode.AUTO, replicas=None)
        decision, _ = decide(free, verdict.state, sample, verdict.replicas)
    if not decision.slots:
        return {}  # a sample that cannot be used
    return {OURS: decision.desired, KEDA: by_keda(policy, sample, decision.slots)}


def by_keda(policy: Policy, sample: Sample, slots: int) -> int:
    """Give ceil((waiting + running) / slots) within the bounds: one of all jobs, whoever knows them."""
    pods = math.ceil((sample.ready + sample.running) / slots)
    return min(max(pods, policy.min_replicas), policy.max_replicas)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """A rate expected at `made_s` from `due_s` on; `counted` jobs had come by `from_s`, None before."""

    rate_per_s: float
    made_s: float
    due_s: float
    from_s: float = 0.0
    counted: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastScore:
    """How far the forecasts of about ten minutes were from what came, one after the other.

    `wrong` jobs were expected and did not come, or the other way round, of `jobs` (the larger of
    both, each time); both forget with ten minutes. Times are the database's.
    """

    pending: Forecast | None = None
    wrong: float = 0.0
    jobs: float = 0.0

    @property
    def error_ratio(self) -> float | None:
        """Give the share of jobs that was wrong: 0 is a perfect forecast; None before the first."""
        return self.wrong / self.jobs if self.jobs > 0 else None


def scored(score: ForecastScore, sample: Sample, decision: Decision) -> ForecastScore:
    """Judge the pending forecast when its time has come, and take the next one.

    A look that comes too late (nothing could be read, or nothing moved) judges nothing: what came
    when is unknown.
    """
    pending, at_s, came = score.pending, sample.at_s, sample.unannounced_total
    if pending is None or not _is_in_time(pending, sample):
        return _next(score, sample, decision)
    if at_s < pending.due_s:
        return score
    if pending.counted is None:
        return replace(score, pending=replace(pending, from_s=at_s, counted=came))
    lasted_s = at_s - pending.from_s
    if lasted_s < _WINDOW_S:
        return score
    arrived, expected = came - pending.counted, pending.rate_per_s * lasted_s
    kept = math.exp(-(lasted_s + decision.start_up_s) / _MEMORY_S)
    judged = ForecastScore(
        wrong=kept * score.wrong + abs(expected - arrived),
        jobs=kept * score.jobs + max(expected, arrived),
    )
    return _next(judged, sample, decision)


def _is_in_time(pending: Forecast, sample: Sample) -> bool:
    """Tell whether a forecast can still be judged: no look was missed, no clock or counter fell."""
    if pending.counted is None:
        return pending.made_s <= sample.at_s <= pending.due_s + _LATEST_S
    lasted_s = sample.at_s - pending.from_s
    return 0 <= lasted_s <= _WINDOW_S + _LATEST_S and sample.unannounced_total >= pending.counted


def _next(score: ForecastScore, sample: Sample, decision: Decision) -> ForecastScore:
    if not decision.slots:
        return replace(score, pending=None)  # nothing was weighed: paused, or by hand
    due_s = sample.at_s + decision.start_up_s + OBSERVE_EVERY_S
    forecast = Forecast(rate_per_s=decision.forecast_rate_per_s, made_s=sample.at_s, due_s=due_s)
    return replace(score, pending=forecast)
