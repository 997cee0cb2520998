"""What a check found."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad. UNKNOWN: what it needs could not be read."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check's answer; `remedy` is a command to type, or what to do in a few words."""

    check: str = ""
    level: Level
    said: str
    remedy: str = ""


def fine(said: str) -> Finding:
    """Say that it is as it should be."""
    return Finding(level=Level.OK, said=said)


def warn(said: str, remedy: str) -> Finding:
    """Say what will hurt."""
    return Finding(level=Level.WARN, said=said, remedy=remedy)


def fail(said: str, remedy: str) -> Finding:
    """Say what is broken."""
    return Finding(level=Level.FAIL, said=said, remedy=remedy)
