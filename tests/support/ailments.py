"""What doctor may read of a cluster that is not well, one fact at a time."""

from typing import Any

from tests.support import patient
from tests.support.mail import deployment, pod, queue_worker
from tests.support.patient import placed

from queueworker_operator.plugin.doctor.checks import examine
from queueworker_operator.plugin.doctor.facts import Address, Facts, Read
from queueworker_operator.plugin.doctor.finding import Finding


def found(check: str, facts: Facts) -> Finding:
    return next(finding for finding in examine(facts) if finding.check == check)


def target(**spec: Any) -> Read[Any]:
    body = placed(deployment(replicas=1))
    container = body["spec"]["template"]["spec"]["containers"][0]
    container.update(spec)
    return Read(body)


def waiting(reason: str) -> Read[Any]:
    body = placed(pod("mail-worker-a", ready=False))
    state = {"name": "worker", "state": {"waiting": {"reason": reason}}}
    body["status"]["containerStatuses"] = [state]
    return Read([body])


def restarted() -> Read[Any]:
    body = placed(pod("mail-worker-a"))
    body["status"]["containerStatuses"] = [{"name": "worker", "restartCount": 2}]
    return Read([body])


def hpa(kind: str = "HPA") -> Read[Any]:
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "mail-worker"}}
    return Read([{"kind": kind, "metadata": {"name": "old"}, "spec": spec}])


def hpa_of_keda() -> Read[Any]:
    """The HPA comes first, as they are listed."""
    made = {"name": "keda-hpa-mail", "ownerReferences": [KEDAS]}
    [one] = hpa().get()
    [scaled_object] = hpa("ScaledObject").get()
    return Read(
        [
            {**one, "metadata": made},
            {**scaled_object, "metadata": {"name": "mail"}},
        ]
    )


def written_by(manager: str) -> Read[Any]:
    body = placed(deployment(replicas=1))
    entry = {"manager": manager, "time": "2026", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    body["metadata"]["managedFields"] = [entry]
    return Read(body)


def other(name: str = "other", **spec: Any) -> Read[Any]:
    body = placed(queue_worker(name, **spec))
    body["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    return Read([patient.body(), body])


def born(at: str) -> Any:
    body = patient.body()
    return {**body, "metadata": {**body["metadata"], "creationTimestamp": at}}


def signed(**namespaces: str) -> Any:
    """Give a body whose status the operators of these namespaces wrote last at these times."""
    body = patient.body()
    entries = [
        {"manager": f"queueworker-operator@{name}", "time": at, "subresource": "status"}
        for name, at in namespaces.items()
    ]
    return {**body, "metadata": {**body["metadata"], "managedFields": entries}}


def with_ready_pods(count: int) -> Read[Any]:
    return Read({**placed(deployment(replicas=count)), "status": {"readyReplicas": count}})


def backlog(**changes: float) -> Any:
    known = {"ready": 3, "serviceSeconds": 2.0, "startUpSeconds": 8.0}
    return patient.body({"backlog": known | changes})


def tls(sslmode: str, *, local: bool = False) -> Read[Address]:
    return Read(Address(place="database mail at db", sslmode=sslmode, local=local))


KEDAS = {
    "apiVersion": "keda.sh/v1alpha1",
    "kind": "ScaledObject",
    "name": "mail",
    "controller": True,
}
