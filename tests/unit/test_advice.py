"""What other policies would ask for, and how wrong forecasts were."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.support.samples import learned, sample

from queueworker_operator.controller.advice import ForecastScore, recommended, scored
from queueworker_operator.controller.record import Verdict
from queueworker_operator.decision.decide import decide
from queueworker_operator.decision.model import Decision, Mode, Policy, Reason, Replicas, Sample

POLICY = Policy(max_replicas=50, slots_per_pod=4)
# A new pod is there 15 s + 5 s from now: that far the forecast looks.
LEAD_S = 20


def advised(policy: Policy, told: Sample | None) -> tuple[Decision, dict[str, int]]:
    state, replicas = learned(), Replicas(current=3, ready=3)
    decision, _ = decide(policy, state, told, replicas)
    verdict = Verdict(policy=policy, state=state, sample=told, replicas=replicas, decision=decision)
    return decision, dict(recommended(verdict))


def expecting(rate_per_s: float) -> Decision:
    return Decision(
        desired=1,
        current=1,
        reason=Reason.STEADY,
        message="1",
        slots=4,
        start_up_s=15.0,
        forecast_rate_per_s=rate_per_s,
    )


def score_of(expected_per_s: float, came_per_s: float, *, lasts_s: int = 600) -> ForecastScore:
    score = ForecastScore()
    for second in range(lasts_s):
        told = sample(second, enqueued_total=came_per_s * second)
        score = scored(score, told, expecting(expected_per_s))
    return score


def test_ours_asks_for_what_was_decided_and_kedas_query_for_one_slot_a_job() -> None:
    decision, policies = advised(POLICY, sample(ready=90, oldest_age_s=1.0, running=7))

    assert policies == {"dbc": decision.desired, "keda": 25}  # ceil(97 / 4)


def test_both_stay_within_the_bounds() -> None:
    policy = replace(POLICY, min_replicas=2, max_replicas=5)

    assert advised(policy, sample())[1]["keda"] == 2
    assert advised(policy, sample(ready=9000, oldest_age_s=60.0))[1] == {"dbc": 5, "keda": 5}


def test_a_pause_and_a_fixed_number_can_be_judged_by_what_automatic_would_ask_for() -> None:
    told = sample(ready=2000, oldest_age_s=5.0)
    automatic, _ = advised(POLICY, told)
    paused, beside_pause = advised(replace(POLICY, mode=Mode.PAUSED), told)
    fixed, beside_fixed = advised(replace(POLICY, replicas=1), told)

    assert (paused.desired, fixed.desired) == (3, 1)
    assert beside_pause["dbc"] == beside_fixed["dbc"] == automatic.desired > 3


def test_nothing_is_recommended_without_a_usable_sample() -> None:
    assert advised(POLICY, None)[1] == {}
    assert advised(POLICY, sample(ready=float("nan")))[1] == {}
    assert advised(replace(POLICY, mode=Mode.PAUSED), sample(ready=float("nan")))[1] == {}


def test_a_forecast_that_comes_true_has_no_error() -> None:
    assert score_of(3.0, 3.0).error_ratio == 0


def test_half_too_much_and_half_too_little_are_half_wrong() -> None:
    assert score_of(6.0, 3.0).error_ratio == 0.5
    assert score_of(3.0, 6.0).error_ratio == 0.5


def test_jobs_that_nobody_expected_are_all_wrong() -> None:
    assert score_of(0.0, 3.0).error_ratio == 1


def test_nothing_is_told_before_a_forecast_was_judged_or_while_nothing_comes() -> None:
    assert score_of(3.0, 3.0, lasts_s=LEAD_S + 30).error_ratio is None
    assert score_of(3.0, 3.0, lasts_s=LEAD_S + 31).error_ratio == 0
    assert score_of(0.0, 0.0).error_ratio is None


def test_jobs_that_were_announced_are_no_surprise() -> None:
    score = ForecastScore()
    for second in range(120):
        came = 10.0 * second
        told = sample(second, enqueued_total=came + second, announced_total=came)
        score = scored(score, told, expecting(1.0))

    assert score.error_ratio == 0


def test_what_came_while_nothing_could_be_read_is_not_judged() -> None:
    score = ForecastScore()
    for second in (*range(30), *range(90, 140)):
        score = scored(score, sample(second, enqueued_total=second * 5.0), expecting(1.0))

    assert score.error_ratio is None
    told = sample(140, enqueued_total=140 * 5.0)
    assert scored(score, told, expecting(1.0)).error_ratio == 0.8


def test_a_counter_that_falls_is_not_judged() -> None:
    score = ForecastScore()
    for second in range(140):
        told = sample(second, enqueued_total=second if second < 40 else second - 40)
        score = scored(score, told, expecting(1.0))

    assert score.error_ratio == 0


def test_a_clock_that_goes_back_begins_anew() -> None:
    score = scored(ForecastScore(), sample(5000), expecting(1.0))
    for second in range(LEAD_S + 31):
        score = scored(score, sample(second, enqueued_total=second), expecting(1.0))

    assert score.error_ratio == 0


def test_an_old_error_is_forgotten() -> None:
    score = score_of(0.0, 5.0)
    for second in range(600, 3000):
        score = scored(score, sample(second, enqueued_total=5.0 * second), expecting(5.0))

    assert 0 < (score.error_ratio or 0) < 0.05


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 50), st.floats(0, 50)), max_size=80),
)
def test_the_error_is_always_a_share(steps: list[tuple[float, float, float]]) -> None:
    score, at_s, came = ForecastScore(), 0.0, 0.0
    for passed_s, jobs, expected in steps:
        at_s, came = at_s + passed_s, came + jobs
        score = scored(score, sample(at_s, enqueued_total=came), expecting(expected))
        assert score.error_ratio is None or 0 <= score.error_ratio <= 1
