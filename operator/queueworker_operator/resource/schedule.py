"""`spec.schedule`: floors under the replicas at times of the day. A clock goes in, a floor comes out.

Cron expressions are read as Debian's cron reads them, by the library cronsim: what falls into the
hour that a clock change skips begins right after it, what falls into one that comes twice begins
once, unless minute or hour begin with a star. See decision 0026.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from queueworker_operator.decision.model import Floor, Policy, Window
from queueworker_operator.decision.regime import OBSERVE_EVERY_S, START_UP_PRIOR_S
from queueworker_operator.errors import InvalidResource
from queueworker_operator.resource.fields import MOST_REPLICAS, integer_of, seconds_of, text_of
from queueworker_operator.resource.kind import Body

MOST_WINDOWS = 16
LONGEST_WINDOW_S = 7 * 86_400.0
LONGEST_CRON = 64
CRON_FIELDS = 5
DEFAULT_ZONE = "UTC"
MINUTE_S = 60
# A start in the hour that comes twice is found only from beyond it: no zone shifts by more.
LARGEST_SHIFT_S = 3 * 3600
WINDOWS_REMEMBERED = 16_384


def schedule_of(spec: Body, most: int) -> tuple[Window, ...]:
    """Read `spec.schedule`, with floors of at most `most` replicas.

    Raises:
        InvalidResource: names the field, what is wrong with it, and what would be right.
    """
    given = spec.get("schedule")
    if given is None:
        return ()
    if not isinstance(given, list) or len(given) > MOST_WINDOWS:
        raise InvalidResource(f"spec.schedule must be a list of at most {MOST_WINDOWS} windows")
    return tuple(_window(entry, f"spec.schedule[{i}]", most) for i, entry in enumerate(given))


def _window(entry: object, path: str, most: int) -> Window:
    if not isinstance(entry, Mapping):
        raise InvalidResource(
            f"{path} must be an object: {{cron, timezone, minReplicas, duration}}"
        )
    replicas = integer_of(entry, f"{path}.minReplicas", None, (1, MOST_REPLICAS))
    if replicas is None:
        raise InvalidResource(f"{path}.minReplicas is missing: the fewest pods in this window")
    if replicas > most:
        raise InvalidResource(
            f"{path}.minReplicas {replicas} is more than spec.maxReplicas {most}: lower it, or "
            "raise the second"
        )
    return Window(
        cron=_cron(entry, f"{path}.cron"),
        timezone=_zone(entry, f"{path}.timezone"),
        min_replicas=replicas,
        duration_s=seconds_of(entry, f"{path}.duration", None, LONGEST_WINDOW_S),
    )


def _cron(entry: Body, path: str) -> str:
    cron = text_of(entry, path)
    fields = cron.split()
    wanted = "minute, hour, day of month, month, day of week, such as 0 8 * * 1-5"
    if len(fields) != CRON_FIELDS or len(cron) > LONGEST_CRON:
        raise InvalidResource(f"{path} {cron!r:.80} must have five fields: {wanted}")
    try:
        CronSim(cron, datetime(2026, 1, 1))  # noqa: DTZ001 it is only read
    except CronSimError as exc:
        what = str(exc).lower()
        raise InvalidResource(f"{path} {cron!r} has a {what}: write {wanted}") from exc
    return " ".join(fields)


def _zone(entry: Body, path: str) -> str:
    name = text_of(entry, path, DEFAULT_ZONE)
    try:
        return ZoneInfo(name).key
    except (ValueError, OSError, LookupError) as exc:
        raise InvalidResource(
            f"{path} {name!r:.80} is not a time zone: write a name such as Europe/Berlin or UTC"
        ) from exc


def in_force(policy: Policy, now_s: float, start_up_s: float) -> Policy:
    """Put the floor of this moment (epoch seconds) into the policy: the largest of all windows.

    A window begins a start-up time early, so that its pods are ready when it begins; at least the
    time of unknown pods, or the first ones that come sooner would send the others away.
    """
    if not policy.schedule:
        return policy
    lead_s = max(start_up_s, START_UP_PRIOR_S) + OBSERVE_EVERY_S
    floors = (_floor(window, now_s, lead_s) for window in policy.schedule)
    present = [floor for floor in floors if floor is not None]
    return replace(policy, floor=max(present, key=lambda floor: floor.replicas, default=None))


def _floor(window: Window, now_s: float, lead_s: float) -> Floor | None:
    start_s = _last_start_s(window.cron, window.timezone, math.floor((now_s + lead_s) / MINUTE_S))
    if start_s is None or start_s + window.duration_s <= now_s:
        return None
    return Floor(replicas=window.min_replicas, why=_told(window, now_s, start_s))


@lru_cache(maxsize=WINDOWS_REMEMBERED)
def _last_start_s(cron: str, timezone: str, minute: int) -> float | None:
    """Give the last start at or before `minute` (since the epoch)."""
    at_s = minute * MINUTE_S
    beyond = datetime.fromtimestamp(at_s + LARGEST_SHIFT_S, ZoneInfo(timezone))
    for start in CronSim(cron, beyond, reverse=True):
        if start.timestamp() <= at_s:
            return start.timestamp()
    return None


def _told(window: Window, now_s: float, start_s: float) -> str:
    zone = ZoneInfo(window.timezone)
    now = datetime.fromtimestamp(now_s, zone)
    end = _moment(datetime.fromtimestamp(start_s + window.duration_s, zone), now)
    start = _moment(datetime.fromtimestamp(start_s, zone), now)
    span = f"until {end}" if start_s <= now_s else f"from {start} to {end}"
    return f"schedule '{window.cron}' {span} {window.timezone}"


def _moment(moment: datetime, now: datetime) -> str:
    """Write the time of day; with the date when it is another day."""
    today = moment.date() == now.date()
    return f"{moment:%H:%M}" if today else f"{moment:%Y-%m-%d %H:%M}"
