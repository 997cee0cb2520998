"""What the checks judge: each fact was read, or there is a reason why it was not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from queueworker_operator.decision.model import Policy
from queueworker_operator.errors import InvalidResource
from queueworker_operator.lag import Lags, WorkerState
from queueworker_operator.lag.examine import Rights, Server, Table
from queueworker_operator.resource import parse

Body = Mapping[str, Any]
Value = TypeVar("Value")
NOT_ASKED = "it was not asked"


class NotKnown(Exception):
    """A fact that a check needs could not be read; the message is why."""


@dataclass(frozen=True, slots=True)
class Read(Generic[Value]):
    """One reading. A check that takes a value out of a failed one becomes UNKNOWN.

    `missing`: the cluster says that there is no such thing.
    """

    value: Value | None = None
    why: str = ""
    missing: bool = False

    def get(self) -> Value:
        """Give the value.

        Raises:
            NotKnown: it could not be read.
        """
        if self.why or self.value is None:
            raise NotKnown(self.why or NOT_ASKED)
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the Secret leads, without its password. `local`: nobody is between."""

    place: str
    sslmode: str
    local: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What all QueueWorkers share."""

    now_s: float
    own_version: str
    server_version: Read[str] = field(default_factory=Read)
    definition: Read[Body] = field(default_factory=Read)
    leases: Read[Sequence[Body]] = field(default_factory=Read)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known of one QueueWorker. `clock_ahead_s`: the database's clock, beside ours.

    `refused` is what a server that was reached said against the login.
    """

    body: Body
    cluster: Cluster
    queue_workers: Read[Sequence[Body]] = field(default_factory=Read)
    scalers: Read[Sequence[Body]] = field(default_factory=Read)
    deployment: Read[Body] = field(default_factory=Read)
    pods: Read[Sequence[Body]] = field(default_factory=Read)
    address: Read[Address] = field(default_factory=Read)
    secret_fault: str = ""
    refused: str = ""
    server: Read[Server] = field(default_factory=Read)
    clock_ahead_s: Read[float] = field(default_factory=Read)
    rights: Read[Rights] = field(default_factory=Read)
    schema_version: Read[int] = field(default_factory=Read)
    missing_indexes: Read[Sequence[str]] = field(default_factory=Read)
    tables: Read[Sequence[Table]] = field(default_factory=Read)
    lags: Read[Lags] = field(default_factory=Read)
    workers: Read[Sequence[WorkerState]] = field(default_factory=Read)

    @property
    def namespace(self) -> str:
        """Where it is."""
        return str(self.body["metadata"]["namespace"])

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self.body["metadata"]["name"])

    @property
    def spec(self) -> Body:
        """What was asked for; an old definition may have let anything pass."""
        spec = self.body.get("spec")
        return spec if isinstance(spec, Mapping) else {}

    @property
    def status(self) -> Body:
        """What the operator wrote."""
        return self.body.get("status") or {}

    @property
    def target(self) -> str:
        """The Deployment's name."""
        return str((self.spec.get("scaleTargetRef") or {}).get("name", ""))

    @property
    def kubectl(self) -> str:
        """Begin a command about its namespace."""
        return f"kubectl -n {self.namespace}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """What all QueueWorkers of a namespace share."""

    queue_workers: Read[Sequence[Body]]
    scalers: Read[Sequence[Body]]
    pods: Read[Sequence[Body]]

    def of(self, body: Body, cluster: Cluster) -> Facts:
        """Begin the facts of one of them."""
        return Facts(
            body=body,
            cluster=cluster,
            queue_workers=self.queue_workers,
            scalers=self.scalers,
            pods=self.pods,
        )


def policy_of(facts: Facts) -> Policy:
    """Read the spec.

    Raises:
        NotKnown: it is not valid, which another check says.
    """
    try:
        return parse(facts.body).policy
    except InvalidResource as exc:
        raise NotKnown(f"the spec is not valid: {exc}") from exc
