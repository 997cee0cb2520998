"""What the saturation guard sees, and a guard in the middle of a trial."""

from dataclasses import replace
from typing import Any

from tests.support.samples import AT_S

from queueworker_operator.decision.state import Evidence, Guard, GuardMode, Tally
from queueworker_operator.decision.trial import Scene

SCENE = Scene(
    at_s=AT_S,
    promise_s=30.0,
    fewest=1,
    most=60,
    slots=4,
    service_s=2.0,
    lead_s=20.0,
    oldest_age_s=60.0,
    wish=60,
    busy=40.0,
    dispersion=1.0,
    fastest_s=2.0,
)
RAMP = (8, 8, 8, 8, 8, 8, 12, 16, 24, 32, 40, 40, 40, 40, 40)
FLAT = tuple((40.0, 5.0 * busy, 5.0) for busy in RAMP)
HELPFUL = tuple((5.0 * busy, 5.0 * busy, 5.0) for busy in RAMP)
HARMFUL = tuple((4000.0 / busy**1.6, 5.0 * busy, 5.0) for busy in RAMP)
SLOW = ((60.0, 240.0, 5.0),) * 60
BASE = Tally(finished=600.0, busy_s=4000.0, seconds=100.0)


def seen(ticks: tuple[tuple[float, float, float], ...], **fields: Any) -> Evidence:
    return Evidence(ticks=ticks, fastest_s=2.0, **fields)


def scene(after_s: float = 0.0, **fields: Any) -> Scene:
    return replace(SCENE, at_s=AT_S + after_s, **fields)


def at(mode: GuardMode, **fields: Any) -> Guard:
    """Give a guard that 40 pods were stepped back to 20 by, and that measures since 10 s."""
    about: dict[str, Any] = {
        "cap": 20 if mode is GuardMode.DOWN else 10,
        "before": 40,
        "from_pods": 40,
        "base": BASE,
        "since_s": AT_S - 60.0,
        "settled_s": AT_S - 30.0,
        "bound_at_s": AT_S,
    }
    return Guard(mode=mode, **{**about, **fields})


def measured(finished: float, busy: float, ticks: int = 20) -> Evidence:
    return seen(((finished, 5.0 * busy, 5.0),) * ticks)
