"""What is remembered of work that comes again: parts of the state."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Season:
    """Jobs by the minute of the hour, in the last hours; and how good a forecast that made.

    `minute` (since the epoch) is being counted: `jobs` until now, `plain` expected from the rate
    at its beginning. `loss` and `plain_loss` are those of the `scores` forecasts of both kinds.
    """

    minute: int | None = None
    whole: bool = False
    jobs: float = 0.0
    plain: float = 0.0
    hours: tuple[tuple[int, ...], ...] = ()
    scores: int = 0
    loss: float = 0.0
    plain_loss: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """When the last three bursts of arrivals began, and their jobs beyond the usual each 5 s.

    `last_s` is when the last such jobs came.
    """

    began_s: tuple[float, ...] = ()
    shapes: tuple[tuple[float, ...], ...] = ()
    last_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Returns:
    """Pods that were wanted again, by the seconds since they were wanted last (`returns.GAPS_S`).

    `levels` are (time, pods wanted), falling: each was wanted then and never as many since.
    """

    levels: tuple[tuple[float, float], ...] = ()
    weights: tuple[float, ...] = ()
