"""What the same minute of earlier hours brought: for promises too short to be surprised.

It is used only while it proves better than the current rate, and only adds. Source: a forecast of
a quantile is judged by the pinball loss (Koenker and Bassett, 1978).
"""

import math
from dataclasses import replace

from queueworker_operator.decision.estimate import Flow
from queueworker_operator.decision.recurrence import Season

_MINUTES = 60
_HOURS_KEPT = 8
_HOURS_NEEDED = 3
_QUANTILE = 0.8
_SCORES_NEEDED = 20
_BETTER = 0.9
_MEMORY_SCORES = 240


def learn_season(season: Season, flow: Flow, at_s: float, rate_per_s: float) -> Season:
    """Fold one tick; a minute that was not seen whole does not count."""
    minute = int((at_s - flow.elapsed_s / 2) // _MINUTES)
    jobs = flow.unannounced
    if season.minute == minute:
        return replace(season, jobs=season.jobs + jobs)
    follows = season.minute is not None and minute == season.minute + 1
    closed = _closed(season) if follows and season.whole else season
    return replace(closed, minute=minute, whole=follows, jobs=jobs, plain=rate_per_s * _MINUTES)


def expected_per_s(season: Season, from_s: float, to_s: float) -> float:
    """Give the highest rate that the minutes of this time had earlier; 0 while it proves nothing."""
    if season.scores < _SCORES_NEEDED or season.loss >= _BETTER * season.plain_loss:
        return 0.0
    minutes = range(int(from_s // _MINUTES), int(to_s // _MINUTES) + 1)
    return max(_expected(season, minute) or 0.0 for minute in minutes) / _MINUTES


def _closed(season: Season) -> Season:
    """Judge what was expected of the minute that is over, and remember what it brought."""
    minute = season.minute or 0
    hours = season.hours or ((),) * _MINUTES
    index = minute % _MINUTES
    row = (*hours[index], round(season.jobs))[-_HOURS_KEPT:]
    learned = replace(season, hours=(*hours[:index], row, *hours[index + 1 :]))
    expected = _expected(season, minute)
    if expected is None:
        return learned
    kept = 1 - 1 / _MEMORY_SCORES
    return replace(
        learned,
        scores=season.scores + 1,
        loss=kept * season.loss + _pinball(expected, season.jobs),
        plain_loss=kept * season.plain_loss + _pinball(season.plain, season.jobs),
    )


def _expected(season: Season, minute: int) -> float | None:
    """Give the jobs that four of five such minutes did not exceed; None where too few were seen."""
    row = sorted(season.hours[minute % _MINUTES]) if season.hours else []
    if len(row) < _HOURS_NEEDED:
        return None
    return float(row[math.ceil(_QUANTILE * len(row)) - 1])


def _pinball(expected: float, jobs: float) -> float:
    short = jobs - expected
    return max(_QUANTILE * short, (_QUANTILE - 1) * short)
