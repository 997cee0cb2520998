"""Connection strings out of Secrets: read by name, again each minute, at once when refused."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from queueworker_operator.errors import AccessDenied, ObjectMissing, OperatorError
from queueworker_operator.kube import Client, api
from queueworker_operator.lag.foreign import refusal_of
from queueworker_operator.resource import Condition, ConditionReason, ResourceSpec, Trouble

logger = logging.getLogger(__name__)

REREAD_S = 60.0
JITTER_S = 10.0
RETRY_S = 5.0
# A Secret that a tool makes anew, or one refusal of the API server, suspends nothing.
LOST_S = 30.0
AT_ONCE = 8
LISTEN_KEY = "listen_dsn"


@dataclass(frozen=True, slots=True)
class Database:
    """Where a queue lives. Two resources share a loop only if all of this is the same."""

    dsn: str = field(repr=False)
    listen_dsn: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read of one Secret, and when it is read again."""

    due_s: float
    read_at_s: float
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    refusal: tuple[ConditionReason, str] | None = None
    lost_at_s: float | None = None
    judged: dict[str, str | None] = field(default_factory=dict, repr=False)

    def refusal_of(self, key: str, value: str) -> str | None:
        """Say what is wrong with the connection string of `key`; found out once a reading."""
        if key not in self.judged:
            self.judged[key] = refusal_of(value)
        return self.judged[key]


class Secrets:
    """The Secrets that QueueWorkers name, and no others.

    Args:
        client: The API server.
        clock: Monotonic seconds.
        random_unit: Numbers from 0 to 1, for the jitter.
    """

    def __init__(
        self, client: Client, *, clock: Callable[[], float], random_unit: Callable[[], float]
    ) -> None:
        self._client = client
        self._clock = clock
        self._random_unit = random_unit
        self._readings: dict[tuple[str, str], Reading] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def refresh(self, needed: Collection[tuple[str, str]]) -> None:
        """Read what is due of `needed` and forget the rest."""
        now_s = self._clock()
        self._readings = {key: self._readings[key] for key in needed if key in self._readings}
        due = [key for key in needed if key not in self._readings or self._is_due(key, now_s)]
        await asyncio.gather(*map(self._read, due))

    def expire(self, namespace: str, name: str) -> bool:
        """Make a Secret due: the database refused what it said. At most one read each 5 s.

        Returns:
            Whether it is to be read now.
        """
        key = (namespace, name)
        reading = self._readings.get(key)
        if reading is None:
            return False
        soon_s = min(reading.due_s, reading.read_at_s + RETRY_S)
        self._readings[key] = replace(reading, due_s=soon_s)
        return self._is_due(key, self._clock())

    def database_of(self, spec: ResourceSpec) -> Database | Trouble:
        """Give the connection strings of `spec`, or what is wrong with its Secret."""
        reading = self._readings.get((spec.namespace, spec.secret_name))
        if reading is None:
            return _trouble(ConditionReason.SECRET_UNAVAILABLE, "the Secret is not read yet")
        if reading.refusal is not None:
            return _trouble(*reading.refusal)
        dsn = reading.values.get(spec.secret_key)
        if not dsn:
            return _trouble(
                ConditionReason.SECRET_INVALID,
                f"Secret {spec.secret_name} has no key {spec.secret_key}: "
                "add it with the connection string as its value",
            )
        listen_dsn = reading.values.get(LISTEN_KEY) or None
        for key, value in ((spec.secret_key, dsn), (LISTEN_KEY, listen_dsn)):
            if value is not None and (refusal := reading.refusal_of(key, value)):
                text = f"the connection string {key} of Secret {spec.secret_name} {refusal}"
                return _trouble(ConditionReason.SECRET_INVALID, text)
        return Database(dsn, listen_dsn)

    def _is_due(self, key: tuple[str, str], now_s: float) -> bool:
        return now_s >= self._readings[key].due_s

    async def _read(self, key: tuple[str, str]) -> None:
        namespace, name = key
        async with self._slots:
            try:
                values = await api.get_secret(self._client, namespace, name)
            except OperatorError as exc:
                self._readings[key] = self._after(key, exc)
                return
        now_s = self._clock()
        due_s = now_s + REREAD_S + JITTER_S * self._random_unit()
        self._readings[key] = Reading(due_s=due_s, read_at_s=now_s, values=values)

    def _after(self, key: tuple[str, str], error: OperatorError) -> Reading:
        """Say what a failed read means; what was read before holds on for a while.

        While the API server is silent, it holds on until that answers.
        """
        now_s, known = self._clock(), self._readings.get(key)
        failed = Reading(due_s=now_s + RETRY_S + self._random_unit(), read_at_s=now_s)
        if known is not None and known.refusal is None:
            logger.warning("secret %s/%s is not read: %s", *key, error)
            if not isinstance(error, ObjectMissing | AccessDenied):
                return replace(failed, values=known.values)
            lost_at_s = now_s if known.lost_at_s is None else known.lost_at_s
            if now_s - lost_at_s < LOST_S:
                return replace(failed, values=known.values, lost_at_s=lost_at_s)
        return replace(failed, refusal=_refusal(key, error))


def _refusal(key: tuple[str, str], error: OperatorError) -> tuple[ConditionReason, str]:
    match error:
        case ObjectMissing():
            message = f"Secret {key[1]} does not exist in namespace {key[0]}: create it"
            return ConditionReason.SECRET_NOT_FOUND, message
        case AccessDenied():
            message = f"the operator may not get Secret {key[1]}: grant get on it by name"
            return ConditionReason.SECRET_UNAVAILABLE, message
        case _:
            return ConditionReason.SECRET_UNAVAILABLE, str(error)


def _trouble(reason: ConditionReason, message: str) -> Trouble:
    return Trouble(condition=Condition.METRICS_AVAILABLE, reason=reason, message=message)
