"""What the operator is told from outside, read once and passed down."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from queueworker_operator.errors import InvalidSettings

PREFIX = "QUEUEWORKER_OPERATOR_"
MAX_PORT = 65535
TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"", "0", "false", "no", "off"})


class LogFormat(StrEnum):
    """How log lines look."""

    JSON = "json"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """The paces and bounds of one database's loop. The defaults are the promises' values.

    A wake-up may bring a read forward, at most one each `least_gap_s`. An early read costs the part
    of `read_every_s` that it saved, unless it led to a write; of `early_reads` such costs, time
    earns `early_reads_per_s` back, and `early_reserve` is for queues that no worker serves. A queue
    without workers is tended each `tend_every_s`, at rest each `rest_s`, with no job at all each
    `asleep_s`; what was learned is saved each `rest_s`, asleep each `asleep_s`. A busy pod is asked to
    drain for its grace, within `patience_min_s` and `patience_max_s`; then it is spared for `spare_s`
    and another one is chosen. Its drain ends after `drain_lasts_s` unless it is asked for again,
    thrice as often: no pod idles for an operator that is gone. `at_once` bounds how many queues are
    tended, records written, or states saved, in one statement; after `upkeep_s` of such statements
    the next read comes first. A write that fails again and again is recorded anew each
    `record_again_s`.
    """

    read_every_s: float = 1.0
    least_gap_s: float = 0.2
    early_reads: int = 5
    early_reserve: int = 3
    early_reads_per_s: float = 0.1
    tend_every_s: float = 5.0
    rest_s: float = 60.0
    asleep_s: float = 300.0
    maintain_every_s: float = 60.0
    at_once: int = 100
    upkeep_s: float = 0.2
    step_deadline_s: float = 15.0
    patience_min_s: float = 10.0
    patience_max_s: float = 300.0
    spare_s: float = 300.0
    drain_lasts_s: float = 60.0
    record_again_s: float = 60.0

    def patience_s(self, grace_s: float) -> float:
        """Give how long a busy pod of this grace is left to drain."""
        return min(max(grace_s, self.patience_min_s), self.patience_max_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """Time limits of one database. `call_timeout_s` holds on the server and on this side.

    A connection is opened at most once in `retry_s`, however long the database is away. One that
    waits for wake-ups is asked each `probe_s` whether anybody is there.
    """

    connect_timeout_s: float = 3.0
    call_timeout_s: float = 3.0
    retry_s: float = 1.5
    probe_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything `queueworker-operator run` needs. No namespaces and not all: its own one."""

    namespaces: tuple[str, ...] = ()
    all_namespaces: bool = False
    port: int = 8080
    leader_namespace: str | None = None
    identity: str | None = None
    log_format: LogFormat = LogFormat.JSON
    loop: LoopSettings = field(default_factory=LoopSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Read QUEUEWORKER_OPERATOR_* variables; what is absent keeps its default.

        Raises:
            InvalidSettings: a variable has a value that cannot be used.
        """
        given = {
            name.removeprefix(PREFIX): value.strip()
            for name, value in environ.items()
            if name.startswith(PREFIX)
        }
        return cls(
            namespaces=words(given.get("NAMESPACES", "")),
            all_namespaces=truth("ALL_NAMESPACES", given.get("ALL_NAMESPACES", "")),
            port=port("PORT", given.get("PORT") or "8080"),
            leader_namespace=given.get("LEADER_NAMESPACE") or None,
            identity=given.get("POD_NAME") or None,
            log_format=log_format(given.get("LOG_FORMAT") or LogFormat.JSON),
        )


def words(text: str) -> tuple[str, ...]:
    """Split a list at its commas; empty entries are dropped."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def truth(name: str, text: str) -> bool:
    """Read a yes or a no."""
    word = text.lower()
    if word not in TRUE_WORDS | FALSE_WORDS:
        raise InvalidSettings(f"{PREFIX}{name} is {text!r}: give true or false")
    return word in TRUE_WORDS


def port(name: str, text: str) -> int:
    """Read a TCP port; 0 takes any free one."""
    if not text.isascii() or not text.isdigit() or int(text) > MAX_PORT:
        raise InvalidSettings(f"{PREFIX}{name} is {text!r}: give a port from 0 to {MAX_PORT}")
    return int(text)


def log_format(text: str) -> LogFormat:
    """Read the format of log lines."""
    try:
        return LogFormat(text.lower())
    except ValueError as exc:
        raise InvalidSettings(f"{PREFIX}LOG_FORMAT is {text!r}: give json or text") from exc
