"""Small changes of a history, to break it."""

from dataclasses import replace

from tests.support.history import (
    Event,
    History,
    Kind,
)


def last(history: History, *kinds: Kind) -> int:
    return max(place for place, event in enumerate(history.events) if event.kind in kinds)


def without(history: History, place: int) -> History:
    return replace(history, events=[e for n, e in enumerate(history.events) if n != place])


def with_event(history: History, place: int, event: Event) -> History:
    return replace(history, events=[*history.events[:place], event, *history.events[place:]])


def changed(history: History, place: int, **columns: object) -> History:
    event = replace(history.events[place], **columns)  # type: ignore[arg-type]
    return with_event(without(history, place), place, event)


def of(history: History, *kinds: Kind) -> Event:
    return history.events[last(history, *kinds)]
