"""A trial of fewer or more pods: wait until they run, measure, compare with before, judge."""

import math
from dataclasses import dataclass, replace

from queueworker_operator.decision.evidence import total, window_s, without_ticks
from queueworker_operator.decision.state import Evidence, Guard, GuardMode, Tally

_SPARE_OVER_KNEE = 1.25
_ABOVE_KNEE_SLOWED = 1.15
DOWN_SHARE = 0.7
_UP_SHARE = 1.4
_FULL_SPEED_JOBS = 40
_CLEAR = 2.0
_SECOND_DOWN_SHARE = 0.3
_DOWN_HARMS = 0.25
_FIRST_DOWN_HARMS = 0.3
_UP_HELPS = 0.45
_LARGEST_ERROR = 0.5
_ERROR_WANTED = 0.2
_FIRST_ERROR_WANTED = 0.3
_SMALLEST_CHANGE = 0.1
_SILENCE_S = 300.0
_MOST_DOUBLINGS = 2
_LONGEST_WAIT_S = 180.0
_LONGEST_S = 1800.0

Step = tuple[Guard, Evidence]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What the guard looks at: `wish` pods are wanted without it, `busy` slots were busy."""

    at_s: float
    promise_s: float
    fewest: int
    most: int
    slots: int
    service_s: float
    lead_s: float
    oldest_age_s: float
    wish: int
    busy: float
    dispersion: float
    fastest_s: float

    @property
    def window_s(self) -> float:
        """Give how long is measured at least."""
        return window_s(self.service_s)

    @property
    def settle_s(self) -> float:
        """Give how long completions take to follow a change of pods."""
        return self.service_s / 2 + 5

    @property
    def longest_s(self) -> float:
        """Give how long is measured at most."""
        return min(max(120.0, 4 * self.service_s) * math.sqrt(self.dispersion), _LONGEST_S)

    def pods_for(self, measured: Tally) -> int:
        """Give the pods that would finish as much without the bottleneck, and a quarter more.

        A little above the knee some slowdown stays visible: its end then shows at once.
        """
        slots = _SPARE_OVER_KNEE * measured.rate_per_s * self.fastest_s
        return math.ceil(slots / self.slots - 1e-9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """By how many percent one percent more busy slots changed the rate, and how sure that is."""

    elasticity: float
    error: float
    change: float


def proceed(guard: Guard, evidence: Evidence, scene: Scene) -> Step:
    """Go one tick on with a trial."""
    if guard.settled_s is None and _settled(guard, scene):
        guard = replace(guard, settled_s=scene.at_s)
    if guard.settled_s is None or scene.at_s - guard.settled_s < scene.settle_s:
        return guard, without_ticks(evidence)
    if not evidence.ticks:
        return _unlimited(guard, scene), evidence
    measured = total(evidence.series)
    found = compare(guard, measured, scene.dispersion)
    wanted = _FIRST_ERROR_WANTED if guard.first else _ERROR_WANTED
    unsure = found.error > wanted and measured.seconds < scene.longest_s
    clear = _is_clear(guard, scene, measured, found)
    if measured.seconds < scene.window_s or (unsure and not clear):
        return guard, evidence
    return _judged(guard, scene, measured, found), without_ticks(evidence)


def _judged(guard: Guard, scene: Scene, measured: Tally, found: Comparison) -> Guard:
    if guard.mode is GuardMode.UP:
        return _judge_more(guard, scene, measured, found)
    if guard.first and _is_false_alarm(found):
        return false_alarm(guard, scene.at_s)
    return _judge_fewer(guard, scene, measured, found)


def compare(guard: Guard, measured: Tally, dispersion: float) -> Comparison:
    """Compare a trial with what was measured before it."""
    base = guard.base
    change = abs(math.log(max(measured.busy, 0.5) / max(base.busy, 0.5)))
    gain = math.log(max(measured.rate_per_s, 1e-9) / max(base.rate_per_s, 1e-9))
    noise = math.sqrt(dispersion * (1 / max(measured.finished, 1) + 1 / max(base.finished, 1)))
    step = max(change, 0.05)
    return Comparison(
        elasticity=(gain if guard.mode is GuardMode.UP else -gain) / step,
        error=noise / step,
        change=change,
    )


def free(guard: Guard) -> Guard:
    """Take the cap off."""
    return Guard(alarms=guard.alarms, silent_until_s=guard.silent_until_s)


def begin(guard: Guard, mode: GuardMode, cap: int, at_s: float) -> Guard:
    """Begin a trial, or a rest, with `cap` pods."""
    first = guard.first and mode is GuardMode.DOWN
    return replace(guard, mode=mode, cap=cap, since_s=at_s, settled_s=None, first=first)


def false_alarm(guard: Guard, at_s: float) -> Guard:
    """Take the cap off and be silent, longer each time."""
    silence_s = _SILENCE_S * 2 ** min(guard.alarms, _MOST_DOUBLINGS)
    return Guard(alarms=guard.alarms + 1, silent_until_s=at_s + silence_s)


def fewer_pods(cap: int, measured: Tally, scene: Scene, share: float) -> int:
    """Give the next smaller cap to try; not under the knee while jobs run slower than they could."""
    pods = max(math.ceil(share * cap - 1e-9), 1)
    if scene.fastest_s > 0 and measured.service_s > _ABOVE_KNEE_SLOWED * scene.fastest_s:
        pods = max(pods, scene.pods_for(measured))
    return min(pods, cap)


def try_more(guard: Guard, scene: Scene) -> Guard:
    """Begin a trial of more pods; after a first one that helped, of twice as many."""
    share = 2.0 if guard.streak else _UP_SHARE
    cap = min(max(math.ceil(share * guard.cap - 1e-9), guard.cap + 1), scene.most)
    return begin(replace(guard, before=guard.cap), GuardMode.UP, cap, scene.at_s)


def _is_clear(guard: Guard, scene: Scene, measured: Tally, found: Comparison) -> bool:
    """Tell whether a trial need not be measured longer."""
    if guard.mode is GuardMode.UP:
        return found.elasticity - _CLEAR * found.error > _UP_HELPS
    return not guard.first and _at_full_speed(measured, scene)


def _at_full_speed(measured: Tally, scene: Scene) -> bool:
    """Tell whether jobs run as fast as they ever did: no bottleneck is seen any more."""
    enough = measured.finished >= _FULL_SPEED_JOBS * scene.dispersion
    return enough and measured.service_s <= _ABOVE_KNEE_SLOWED * scene.fastest_s


def _settled(guard: Guard, scene: Scene) -> bool:
    """Tell whether as many slots are busy as the cap says, or that was waited for long enough."""
    slots, waited_s = guard.cap * scene.slots, scene.at_s - guard.since_s
    if guard.mode is GuardMode.UP:
        return scene.busy >= 0.92 * slots or waited_s > 2 * scene.lead_s + 10
    return scene.busy <= 1.1 * slots or waited_s > scene.settle_s + 4 * scene.service_s + 10


def _unlimited(guard: Guard, scene: Scene) -> Guard:
    """Give up where the slots stay free: no more to learn, and after more pods no bottleneck."""
    waited_s = scene.at_s - (guard.settled_s or 0.0)
    if waited_s <= scene.settle_s + scene.longest_s:
        return guard
    if guard.mode is GuardMode.UP:
        return free(guard)
    return replace(begin(guard, GuardMode.HOLD, guard.cap, scene.at_s), base=Tally())


def _is_false_alarm(found: Comparison) -> bool:
    """Tell whether the first step down cost what it would cost without any bottleneck."""
    lost = found.elasticity - found.error / 2 > _FIRST_DOWN_HARMS
    return found.change < _SMALLEST_CHANGE or lost


def _judge_fewer(guard: Guard, scene: Scene, measured: Tally, found: Comparison) -> Guard:
    """Take a step down that cost next to nothing, and try the next; else go back and rest."""
    if not guard.first and _at_full_speed(measured, scene):
        return try_more(replace(guard, base=measured, failed=0), scene)
    harmed = found.elasticity - found.error > _DOWN_HARMS or found.error > _LARGEST_ERROR
    if harmed and not guard.first and found.change >= _SMALLEST_CHANGE:
        return begin(guard, GuardMode.HOLD, min(guard.before, scene.most), scene.at_s)
    taken = replace(guard, base=measured, failed=0, alarms=0, first=False)
    if guard.cap <= max(scene.fewest, 1):
        return begin(taken, GuardMode.HOLD, guard.cap, scene.at_s)
    share = _SECOND_DOWN_SHARE if guard.first else DOWN_SHARE
    cap = fewer_pods(guard.cap, measured, scene, share)
    mode = GuardMode.HOLD if cap >= guard.cap else GuardMode.DOWN
    return begin(replace(taken, before=guard.cap), mode, cap, scene.at_s)


def _judge_more(guard: Guard, scene: Scene, measured: Tally, found: Comparison) -> Guard:
    """Go on while more pods finish more jobs; twice in a row means that the bottleneck is gone."""
    if found.elasticity - found.error / 2 <= _UP_HELPS:
        wait_s = min(2 * guard.wait_s, _LONGEST_WAIT_S)
        back = replace(guard, streak=0, failed=guard.failed + 1, wait_s=wait_s)
        return begin(back, GuardMode.HOLD, guard.before, scene.at_s)
    if guard.streak:
        return free(guard)
    grown = replace(guard, streak=1, failed=0, before=guard.cap, base=measured)
    return begin(grown, GuardMode.UP, min(2 * guard.cap, scene.most), scene.at_s)
