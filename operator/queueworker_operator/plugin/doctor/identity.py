"""PURE: whether the workers tell which pods they are in."""

from queueworker_operator.plugin.doctor.facts import Facts
from queueworker_operator.plugin.doctor.finding import Finding, fine, warn
from queueworker_operator.plugin.doctor.target_checks import containers_of, patched
from queueworker_operator.text import counted

POD_VARIABLES = {
    "QUEUEWORKER_POD_NAME": "metadata.name",
    "QUEUEWORKER_POD_NAMESPACE": "metadata.namespace",
    "QUEUEWORKER_POD_UID": "metadata.uid",
}


def identity(facts: Facts) -> Finding:
    """Do the workers tell which pod is theirs? Pods of other namespaces may bear its name."""
    silent = [one for one in facts.workers.get() if not (one.namespace or one.pod_uid)]
    if silent:
        tell = counted(len(silent), "worker tells", "workers tell")
        return warn(
            f"{tell} neither the namespace nor the UID of the pod: where several namespaces share the "
            "database, the operator does not drain such a pod",
            _naming(facts),
        )
    return fine("each live worker tells whose pod it is in")


def _naming(facts: Facts) -> str:
    """Give the command that adds the variables to the first container."""
    [first, *_] = [*containers_of(facts.deployment.get()), {}]
    env = [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        for name, path in POD_VARIABLES.items()
    ]
    pod_spec = {"containers": [{"name": first.get("name", "worker"), "env": env}]}
    return patched(facts, {"spec": {"template": {"spec": pod_spec}}})
