"""Spans and times as people write them: `90s`, `2h`, `1d12h`, or an ISO time. Pure."""

import re
from datetime import UTC, datetime, timedelta

from queueworker.errors import InvalidSetting

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
MOST_S = 100 * 366 * 86_400


def seconds(text: str, flag: str, word: str = "") -> float:
    """Read a span above 0; `word` is what else the flag takes, for the message.

    Raises:
        InvalidSetting: it cannot be read; the message names the flag.
    """
    parts = PART.findall(text)
    total_s = sum(float(number) * UNITS_S[unit] for number, unit in parts)
    if not text or "".join(number + unit for number, unit in parts) != text:
        other = f"{word}, or " if word else ""
        raise InvalidSetting(
            f"{flag} {text!r} is not a span; write {other}90s, 30m, 2h, 7d, 4w or 1d12h"
        )
    if not 0 < total_s <= MOST_S:
        raise InvalidSetting(f"{flag} {text!r} must be above zero, and at most 100 years")
    return total_s


def moment(text: str, flag: str, now: datetime) -> datetime:
    """Read a time: a span ago, or an ISO time (of UTC where it names no zone).

    Raises:
        InvalidSetting: it is neither.
    """
    if PART.match(text):
        return now - timedelta(seconds=seconds(text, flag))
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidSetting(
            f"{flag} {text!r} is no time; write how long ago (2h, 7d) or 2026-01-31T12:00"
        ) from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def span(span_s: float) -> str:
    """Write a span in its two largest units: `9s`, `4m10s`, `2h5m`, `3d4h`."""
    left = round(span_s)
    texts: list[str] = []
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, UNITS_S[unit])
        if count or texts:
            texts.append(f"{count}{unit}" if count else "")
    return "".join(texts[:2]) or "0s"
