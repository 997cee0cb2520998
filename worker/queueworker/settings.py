"""Settings of a worker, read once from the environment; flags replace single fields."""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from queueworker.dsn import Dsn
from queueworker.errors import InvalidDsn, InvalidSetting

MAX_WEIGHT = 1000
SHARE = re.compile(r"(?P<name>[^:]+)(:(?P<weight>\d{1,6}))?(:max=(?P<most>\d{1,6}))?")


class LogFormat(Enum):
    """How log lines are written."""

    JSON = "json"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueShare:
    """One queue that a worker serves, with its weight against the worker's other queues.

    `most` bounds how many of its jobs the worker has at once: the other slots stay free for others.
    """

    name: str
    weight: int = 1
    most: int | None = None

    @classmethod
    def parse(cls, text: str) -> "QueueShare":
        """Read `mail`, `mail:3`, `mail:3:max=2` or `mail:max=2`."""
        matched = SHARE.fullmatch(text.strip())
        weight = int(matched["weight"] or 1) if matched else 0
        most = int(matched["most"]) if matched and matched["most"] else None
        if matched is None or not 1 <= weight <= MAX_WEIGHT or most == 0:
            raise InvalidSetting(
                f"queue {text!r} is not valid; write NAME, NAME:WEIGHT (1-1000) or"
                " NAME:WEIGHT:max=N (N of 1 or more)"
            )
        return cls(name=matched["name"], weight=weight, most=most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a worker process is told from outside. Times are seconds."""

    dsn: Dsn | None = None
    listen_dsn: Dsn | None = None
    app: str = ""
    queues: tuple[QueueShare, ...] = field(default=(QueueShare(name="default"),))
    concurrency: int = 10
    port: int = 8080
    grace_s: float = 30.0
    lease_ttl_s: float = 15.0
    poll_s: float = 1.0
    pod: str = ""
    namespace: str = ""
    pod_uid: str = ""
    node: str = ""
    log_format: LogFormat = LogFormat.TEXT

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> "Settings":
        """Read the variables `QUEUEWORKER_*`; an unset or empty one keeps its default.

        Raises:
            InvalidSetting: a value is out of its bounds.
            InvalidDsn: an address cannot be read.
        """
        env = os.environ if env is None else env
        return cls(
            dsn=dsn_from_env(env),
            listen_dsn=dsn_from_env(env, "QUEUEWORKER_LISTEN_DSN"),
            app=env.get("QUEUEWORKER_APP", ""),
            queues=parse_queues(env.get("QUEUEWORKER_QUEUES", "") or "default"),
            concurrency=_whole(env, "QUEUEWORKER_CONCURRENCY", 10, (1, 10_000)),
            port=_port(env),
            grace_s=_seconds(env, "QUEUEWORKER_GRACE_S", 30.0, (0.0, 86_400.0)),
            lease_ttl_s=_seconds(env, "QUEUEWORKER_LEASE_TTL_S", 15.0, (1.0, 3_600.0)),
            poll_s=_seconds(env, "QUEUEWORKER_POLL_S", 1.0, (0.01, 60.0)),
            pod=env.get("QUEUEWORKER_POD_NAME", ""),
            namespace=env.get("QUEUEWORKER_POD_NAMESPACE", ""),
            pod_uid=env.get("QUEUEWORKER_POD_UID", ""),
            node=env.get("QUEUEWORKER_NODE_NAME", ""),
            log_format=_log_format(env.get("QUEUEWORKER_LOG_FORMAT", "") or "text"),
        )

    @property
    def required_dsn(self) -> Dsn:
        """Give the address, or say how to set it."""
        if self.dsn is None:
            raise InvalidDsn(
                "no database is set; set QUEUEWORKER_DSN=postgresql://user:password@host/dbname"
            )
        return self.dsn


def dsn_from_env(env: Mapping[str, str], name: str = "QUEUEWORKER_DSN") -> Dsn | None:
    """Read one address; name the variable in the error, never its value."""
    text = env.get(name, "")
    if not text.strip():
        return None
    try:
        return Dsn.parse(text)
    except InvalidDsn as exc:
        raise InvalidDsn(f"{name}: {exc}") from None


def parse_queues(text: str) -> tuple[QueueShare, ...]:
    """Read `mail:3,reports`; a queue named twice is refused."""
    shares = tuple(QueueShare.parse(part) for part in text.split(","))
    names = [share.name for share in shares]
    if len(set(names)) < len(names):
        raise InvalidSetting(f"a queue is named twice in {text!r}; name each queue once")
    return shares


def _whole(env: Mapping[str, str], name: str, default: int, bounds: tuple[int, int]) -> int:
    text = env.get(name, "").strip()
    if not text:
        return default
    least, most = bounds
    if not text.isdecimal() or not least <= int(text) <= most:
        raise InvalidSetting(f"{name}={text!r} is not valid; give a number from {least} to {most}")
    return int(text)


def _port(env: Mapping[str, str]) -> int:
    # A Service named `queueworker` makes Kubernetes set this to tcp://ADDRESS:PORT in every pod.
    if env.get("QUEUEWORKER_PORT", "").startswith("tcp://"):
        return 8080
    return _whole(env, "QUEUEWORKER_PORT", 8080, (0, 65_535))


def _seconds(
    env: Mapping[str, str], name: str, default: float, bounds: tuple[float, float]
) -> float:
    text = env.get(name, "").strip()
    if not text:
        return default
    least, most = bounds
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise InvalidSetting(f"{name}={text!r} is not valid; give {least:g} to {most:g} seconds")
    return value


def _log_format(text: str) -> LogFormat:
    try:
        return LogFormat(text)
    except ValueError:
        raise InvalidSetting(
            f"QUEUEWORKER_LOG_FORMAT={text!r} is not valid; give json or text"
        ) from None
