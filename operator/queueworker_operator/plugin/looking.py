"""Read QueueWorkers with all that belongs to them; connections are kept for the next look."""

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from queueworker_operator.errors import InvalidResource, LagUnavailable, OperatorError
from queueworker_operator.kube import api
from queueworker_operator.lag import WorkerState
from queueworker_operator.lag.postgres import PostgresLag
from queueworker_operator.plugin.access import Access, bodies_of, dsn_of, reachable
from queueworker_operator.plugin.tree import Branch, branch_of
from queueworker_operator.resource import ResourceSpec, parse


class Looking:
    """One cluster, and the databases of the QueueWorkers that were looked at."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._client = access.client()
        self._sources: dict[tuple[str, str, str], PostgresLag] = {}

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for source in self._sources.values():
            await source.close()
        await self._client.__aexit__(kind, error, traceback)

    async def branches(self, names: Sequence[str], *, everywhere: bool) -> list[Branch]:
        """Read the QueueWorkers of these names, or all."""
        bodies = await bodies_of(self._client, self._access, names, everywhere=everywhere)
        pods: dict[str, list[dict[str, Any]]] = {}
        return [await self._branch(body, pods) for body in bodies]

    async def _branch(
        self, body: Mapping[str, Any], listed: dict[str, list[dict[str, Any]]]
    ) -> Branch:
        """Read one; the pods of a namespace are `listed` once a look."""
        namespace = body["metadata"]["namespace"]
        target = body["spec"]["scaleTargetRef"]["name"]
        kind, client = api.Watched, self._client
        try:
            deployment = await api.get_object(client, kind.DEPLOYMENTS, namespace, target)
            if namespace not in listed:
                found = api.list_objects(client, kind.PODS, namespace)
                listed[namespace] = [one async for one in found]
        except OperatorError as exc:
            return branch_of(body, time.time(), trouble=str(exc))
        trouble, workers = "", ()  # type: tuple[str, Sequence[WorkerState]]
        try:
            workers = await self._workers(body)
        except (LagUnavailable, OperatorError, InvalidResource) as exc:
            trouble = f"what its workers hold is not known: {reachable(exc, self._access)}"
        return branch_of(
            body,
            time.time(),
            deployment=deployment,
            pods=listed[namespace],
            workers=workers,
            trouble=trouble,
        )

    async def _workers(self, body: Mapping[str, Any]) -> Sequence[WorkerState]:
        """Ask the database; after a failure the Secret is read again."""
        spec: ResourceSpec = parse(body)
        place = (spec.namespace, spec.secret_name, spec.secret_key)
        if place not in self._sources:
            self._sources[place] = PostgresLag(await dsn_of(self._client, self._access, body))
        try:
            return await self._sources[place].workers(spec.queues)
        except LagUnavailable:
            await self._sources.pop(place).close()
            raise
