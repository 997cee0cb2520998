"""Facts of a QueueWorker in which doctor finds nothing."""

from typing import Any

from tests.support.lags import lag
from tests.support.mail import Body, deployment, pod, queue_worker

from queueworker_operator.lag import Lags, WorkerState
from queueworker_operator.lag.examine import SCHEMA_VERSION, Rights, Server, Table
from queueworker_operator.plugin.doctor.facts import Address, Cluster, Facts, Read
from queueworker_operator.resource import SPEC_FIELDS

NOW_S = 1_767_225_600.0  # 2026-01-01T00:00:00Z
READY = {"type": "Ready", "status": "True", "reason": "AsExpected", "message": ""}
STATUS: Body = {
    "observedGeneration": 1,
    "backlog": {
        "ready": 3,
        "oldestSeconds": 1.0,
        "running": 3,
        "scheduled": 0,
        "serviceSeconds": 2.0,
        "startUpSeconds": 8.0,
    },
    "conditions": [READY],
}


def body(status: Body | None = None, **spec: Any) -> Body:
    made = queue_worker(**spec)
    meta = {"namespace": "shop", "name": "mail", "generation": 1, "uid": "u"}
    return {**made, "metadata": meta, "status": STATUS | (status or {})}


def placed(made: Body) -> Body:
    return {**made, "metadata": {"namespace": "shop", **made["metadata"]}}


def definition(*fields: str) -> Body:
    spec: Body = {
        "properties": {"spec": {"properties": {name: {} for name in fields or SPEC_FIELDS}}}
    }
    return {"spec": {"versions": [{"schema": {"openAPIV3Schema": spec}}]}}


def lease(
    renewed: str = "2025-12-31T23:59:58.000000Z",
    holder: str = "operator-1_x",
    namespace: str = "queueworker",
) -> Body:
    spec = {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15}
    return {"metadata": {"namespace": namespace}, "spec": spec}


def server(**changes: Any) -> Read[Server]:
    known: dict[str, Any] = {
        "role": "mail_operator",
        "version": "18.1",
        "major": 18,
        "standby": False,
        "superuser": False,
        "encrypted": True,
        "at_s": NOW_S,
        "max_connections": 500,
        "connections": 20,
        "transaction_id_age": 1_000_000,
        "oldest_transaction_s": 2.0,
    }
    return Read(Server(**known | changes))


def worker(**changes: Any) -> WorkerState:
    known: dict[str, Any] = {
        "worker_id": "w",
        "pod": "mail-worker-a",
        "slots": 10,
        "busy": 3,
        "held": 0,
        "oldest_start_age_s": 4.0,
        "drain": False,
        "draining": False,
        "drain_age_s": None,
        "drain_remaining_s": None,
        "started_age_s": 60.0,
        "lease_remaining_s": 12.0,
        "version": "0.1.0",
        "namespace": "shop",
    }
    return WorkerState(**known | changes)


def lags(**changes: Any) -> Read[Lags]:
    row = lag("mail", **changes)
    return Read(Lags(at_s=row.at_s, rows={row.queue: row}))


def cluster(**changes: Any) -> Cluster:
    known: dict[str, Any] = {
        "now_s": NOW_S,
        "own_version": "0.1.0",
        "server_version": Read("v1.36.2"),
        "definition": Read(definition()),
        "leases": Read([lease()]),
    }
    return Cluster(**known | changes)


def healthy(**changes: Any) -> Facts:
    known: dict[str, Any] = {
        "body": body(),
        "cluster": cluster(),
        "queue_workers": Read([body()]),
        "scalers": Read([]),
        "deployment": Read(placed(deployment(replicas=1))),
        "pods": Read([placed(pod("mail-worker-a"))]),
        "address": Read(Address(place="database mail at db", sslmode="verify-full", local=False)),
        "server": server(),
        "clock_ahead_s": Read(0.02),
        "rights": Read(Rights(missing=(), refused=())),
        "schema_version": Read(SCHEMA_VERSION),
        "missing_indexes": Read(()),
        "tables": Read((Table(name="job_default", live=3, dead=90_000, size_bytes=1),)),
        "lags": lags(),
        "workers": Read((worker(),)),
    }
    return Facts(**known | changes)
