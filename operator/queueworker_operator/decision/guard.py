"""The saturation guard: when more pods finish no more jobs, use fewer, and test that again.

It acts on evidence alone: ticks in which all slots were full while jobs waited. There the pods
set how many slots are busy, so what more of them brought is cause and effect, and a slowdown that
has nothing to do with the pods shows as such: fewer of them finish less.
"""

import math
from dataclasses import replace

from queueworker_operator.decision.evidence import (
    Elasticity,
    elasticity,
    newest,
    total,
    without_ticks,
)
from queueworker_operator.decision.state import Evidence, Guard, GuardMode, Tally
from queueworker_operator.decision.trial import (
    DOWN_SHARE,
    Scene,
    Step,
    begin,
    fewer_pods,
    free,
    proceed,
    try_more,
)

_SATURATED_BELOW = 0.35
_CERTAINTY = 2.5
_SOMETHING_ELSE_BELOW = -1.0
_FEWEST_JOBS = 60
_FEWEST_PODS = 3.5
_RISE = 1.3
_FIRST_SHARE = 0.5
_WORTH_SHARE = 0.75
_LATE_JOBS_SLOWED = 1.5
_UNBOUND_S = 180.0
_FASTER = 1.12
_FASTER_CERTAINTY = 2.5
_FAILED_BEFORE_DOWN = 2


def learn_guard(guard: Guard, evidence: Evidence, scene: Scene) -> Step:
    """Go one tick on."""
    if guard.mode is GuardMode.FREE:
        return _watch(guard, evidence, scene)
    if scene.wish >= guard.cap:
        guard = replace(guard, bound_at_s=scene.at_s)
    unbound_s = scene.at_s - guard.bound_at_s
    if unbound_s > max(_UNBOUND_S, 2 * scene.window_s) and guard.mode is not GuardMode.UP:
        return free(guard), without_ticks(evidence)
    if guard.mode is GuardMode.HOLD:
        return _rest(guard, evidence, scene)
    return proceed(guard, evidence, scene)


def _watch(guard: Guard, evidence: Evidence, scene: Scene) -> Step:
    """Look for a bottleneck where enough slots were busy."""
    found = elasticity(evidence, scene.service_s)
    if scene.at_s < guard.silent_until_s or found is None:
        return guard, evidence
    if found.highest <= _FEWEST_PODS * scene.slots:
        return guard, evidence
    if found.highest > _RISE * found.lowest:
        return _watch_rise(guard, evidence, scene, found)
    return _watch_at_most(guard, evidence, scene)


def _watch_rise(guard: Guard, evidence: Evidence, scene: Scene, found: Elasticity) -> Step:
    """Try fewer where the last rise of busy slots brought hardly any more finished jobs."""
    in_use, margin = found.highest / scene.slots, _CERTAINTY * found.error
    if found.finished < _FEWEST_JOBS or scene.wish < in_use - 0.1:
        return guard, evidence
    if found.value + margin < _SOMETHING_ELSE_BELOW:
        return guard, without_ticks(evidence, kept=2)
    base = newest(evidence.series, seconds=scene.window_s, finished=100)
    cap = max(scene.pods_for(base), math.ceil(_FIRST_SHARE * in_use - 1e-9))
    if max(found.value, 0.0) + margin >= _SATURATED_BELOW or cap > _WORTH_SHARE * in_use:
        return guard, evidence
    return _alarm(guard, cap, in_use, base, scene.at_s), without_ticks(evidence)


def _watch_at_most(guard: Guard, evidence: Evidence, scene: Scene) -> Step:
    """Try fewer where the most pods are late with slow jobs: without a rise there is no evidence."""
    slowed = 0 < _LATE_JOBS_SLOWED * evidence.fastest_s < scene.service_s
    if scene.oldest_age_s <= scene.promise_s or scene.wish < scene.most or not slowed:
        return guard, evidence
    least_s, jobs = max(60.0, 4 * scene.window_s), 100 * scene.dispersion
    base = newest(evidence.series, seconds=least_s, finished=jobs)
    in_use = base.busy / scene.slots
    cap = math.ceil(DOWN_SHARE * in_use - 1e-9)
    if base.seconds < least_s or base.finished < jobs or cap >= in_use - 0.5:
        return guard, evidence
    return _alarm(guard, cap, in_use, base, scene.at_s), without_ticks(evidence)


def _alarm(guard: Guard, cap: int, in_use: float, base: Tally, at_s: float) -> Guard:
    pods = math.ceil(in_use)
    fresh = Guard(
        alarms=guard.alarms, first=True, before=pods, from_pods=pods, base=base, bound_at_s=at_s
    )
    return begin(fresh, GuardMode.DOWN, cap, at_s)


def _rest(guard: Guard, evidence: Evidence, scene: Scene) -> Step:
    """Rest at the cap until it is time, or until jobs run faster, then try more pods."""
    recent = newest(evidence.series, seconds=scene.window_s, finished=200)
    faster = _runs_faster(guard, recent, scene)
    due = faster or scene.at_s - guard.since_s >= guard.wait_s
    short = recent.finished < 30 or recent.seconds < scene.window_s  # noqa: PLR2004
    if not due or short or scene.wish <= guard.cap:
        return guard, evidence
    measured = total(evidence.series)
    failed = 0 if faster else guard.failed
    rested = replace(guard, base=measured, before=guard.cap, failed=failed)
    return _next_trial(rested, measured, scene), without_ticks(evidence)


def _next_trial(guard: Guard, measured: Tally, scene: Scene) -> Guard:
    """Try more pods; after two vain tries once fewer."""
    if guard.failed >= _FAILED_BEFORE_DOWN and guard.cap > 1:
        guard = replace(guard, failed=0)
        cap = fewer_pods(guard.cap, measured, scene, DOWN_SHARE)
        if cap < guard.cap:
            return begin(guard, GuardMode.DOWN, cap, scene.at_s)
    return try_more(guard, scene)


def _runs_faster(guard: Guard, recent: Tally, scene: Scene) -> bool:
    """Tell whether jobs run faster than when the cap was measured: the bottleneck may be gone."""
    base = guard.base
    if recent.finished < 40 or recent.seconds < scene.window_s or base.finished <= 0:  # noqa: PLR2004
        return False
    gain = base.service_s / recent.service_s
    noise = math.sqrt(scene.dispersion * (1 / recent.finished + 1 / base.finished))
    return gain > _FASTER and math.log(gain) > _FASTER_CERTAINTY * noise
