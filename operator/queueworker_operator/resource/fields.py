"""Read one field of a manifest, or refuse it in words that name it and say what would be right."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from queueworker_operator.errors import InvalidResource
from queueworker_operator.resource.kind import Body

UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,9})?(?:ms|s|m|h)){1,4}")
DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
SHORTEST_S = 1.0
MOST_REPLICAS = 10_000
Choice = TypeVar("Choice", bound=StrEnum)


def seconds_of(parent: Body, path: str, default: str | None, longest_s: float) -> float:
    """Read the duration at `path`, such as `30s` or `1m30s`: from a second to `longest_s`."""
    text = text_of(parent, path, default)
    if not DURATION.fullmatch(text):
        raise InvalidResource(f"{path} {text!r:.40} is not a duration: write 30s, 2m or 1h30m")
    seconds = sum(float(number) * UNIT_S[unit] for number, unit in DURATION_PART.findall(text))
    if not SHORTEST_S <= seconds <= longest_s:
        raise InvalidResource(f"{path} must lie between 1s and {longest_s / UNIT_S['h']:g}h")
    return seconds


def choice_of(parent: Body, path: str, default: Choice) -> Choice:
    """Read one of the words of `default`'s kind."""
    text = text_of(parent, path, default.value)
    kind = type(default)
    try:
        return kind(text)
    except ValueError as exc:
        *most, last = (choice.value for choice in kind)
        raise InvalidResource(f"{path} must be {', '.join(most)} or {last}") from exc


def mapping_of(parent: Body, path: str) -> Mapping[str, Any]:
    """Read an object."""
    value = parent.get(_last(path))
    if not isinstance(value, Mapping):
        raise InvalidResource(
            f"{path} is missing or not an object: see kubectl explain queueworker.spec"
        )
    return value


def text_of(parent: Body, path: str, default: str | None = None) -> str:
    """Read a text that is not empty."""
    value = parent.get(_last(path))
    if value is None:
        value = default
    if not isinstance(value, str) or not value:
        raise InvalidResource(f"{path} must be a text that is not empty")
    return value


def name_of(reference: Body, path: str) -> str:
    """Read the name of an object: it becomes part of a path at the API server."""
    name = text_of(reference, path)
    if not OBJECT_NAME.fullmatch(name):
        raise InvalidResource(f"{path} must be a name of lower-case letters, digits, - and .")
    return name


def integer_of(parent: Body, path: str, default: int | None, bounds: tuple[int, int]) -> int | None:
    """Read a whole number within `bounds`."""
    value = parent.get(_last(path))
    if value is None:
        return default
    lowest, highest = bounds
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise InvalidResource(f"{path} must be a whole number from {lowest} to {highest}")
    return value


def _last(path: str) -> str:
    return path.rpartition(".")[2]
