"""What people look at beyond what the operator may: other scalers, leases, the definition, versions."""

from typing import Any

from queueworker_operator.errors import ObjectMissing
from queueworker_operator.kube.client import Call, Client

DEFINITION = "queueworkers.queueworker.dev"
SCALED_OBJECT = "ScaledObject"
SCALED_OBJECTS = ("apis/keda.sh/v1alpha1", "scaledobjects")
AUTOSCALERS = ("apis/autoscaling/v2", "horizontalpodautoscalers")


async def server_version(client: Client) -> str:
    """Give the API server's version, such as v1.36.2."""
    answer = await client.send(Call(method="GET", path="/version", verb="get", what="the version"))
    return str(answer.get("gitVersion", ""))


async def get_definition(client: Client) -> dict[str, Any]:
    """Read the resource definition of QueueWorkers."""
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{DEFINITION}"
    what = "customresourcedefinitions"
    return await client.send(Call(method="GET", path=path, verb="get", what=what))


async def list_scalers(client: Client, namespace: str) -> list[dict[str, Any]]:
    """List HPAs and KEDA's ScaledObjects, each with its `kind`; without KEDA there are none of these."""
    found: list[dict[str, Any]] = []
    for (group, plural), kind in ((AUTOSCALERS, "HPA"), (SCALED_OBJECTS, SCALED_OBJECT)):
        path = f"/{group}/namespaces/{namespace}/{plural}"
        try:
            found += [{**one, "kind": kind} async for one in client.list_all(path, plural)]
        except ObjectMissing:
            continue
    return found


async def list_leases(client: Client, name: str) -> list[dict[str, Any]]:
    """List the Leases of this name in the whole cluster."""
    call = Call(
        method="GET",
        path="/apis/coordination.k8s.io/v1/leases",
        verb="list",
        what="leases.coordination.k8s.io",
        query={"fieldSelector": f"metadata.name={name}"},
    )
    return list((await client.send(call)).get("items") or ())
