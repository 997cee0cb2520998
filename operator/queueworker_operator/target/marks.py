"""Deletion costs: which pods a ReplicaSet ends first."""

import asyncio
import logging
import time
from collections.abc import Collection
from dataclasses import dataclass, field

from queueworker_operator.errors import (
    AccessDenied,
    ClusterUnavailable,
    ObjectChanged,
    ObjectMissing,
)
from queueworker_operator.kube import Client, api
from queueworker_operator.target.cache import ClusterCache
from queueworker_operator.target.objects import Deployment, pod_of
from queueworker_operator.text import counted

logger = logging.getLogger(__name__)

VICTIM_COST = -100
BEGIN_WITHIN_S = 3.0  # what has not been sent by then comes in the next step


@dataclass(slots=True)
class Marking:
    """Marks pods of one Deployment, once. `changed` and the rest are names of pods.

    `gone` are told to end or have; for `denied` the right is missing: the chart may withhold it.
    """

    client: Client
    cache: ClusterCache
    deployment: Deployment
    changed: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    denied: dict[str, AccessDenied] = field(default_factory=dict)
    failed: dict[str, ClusterUnavailable | ObjectChanged] = field(default_factory=dict)

    async def mark(self, victims: Collection[str], leaving: Collection[str]) -> frozenset[str]:
        """Lower the cost of `victims` and of those `leaving` alone; give the victims that go first.

        None does while another pod, which may be at work, has a mark that could not be taken off.
        Each victim is asked for, marked or not: that is the proof that it lives. Without the right
        to mark they go unmarked: the drain protects the jobs.

        Raises:
            ClusterUnavailable: there is none, because of an error.
        """
        pods = self.cache.pods_of(self.deployment.namespace, self.deployment.pods_labels)
        staying = [pod for pod in pods if not (pod.ended or pod.terminating)]
        lowered = {pod.name for pod in staying if pod.cost == str(VICTIM_COST)}
        stale = lowered.difference(victims, leaving)
        late = {pod.name for pod in staying}.intersection(leaving) - lowered
        until_s = time.monotonic() + BEGIN_WITHIN_S
        await asyncio.gather(
            *(self._set_cost(pod, None, until_s) for pod in sorted(stale)),
            *(self._set_cost(pod, VICTIM_COST, until_s) for pod in (*sorted(victims), *late)),
        )
        settled = self.changed | self.denied.keys()
        marked = settled.intersection(victims) if stale <= settled | self.gone else set()
        self._tell()
        if self.failed and not marked:
            raise ClusterUnavailable(str(next(iter(self.failed.values()))))
        return frozenset(marked)

    async def _set_cost(self, pod: str, cost: int | None, until_s: float) -> None:
        namespace = self.deployment.namespace
        async with self.client.turns:
            if time.monotonic() > until_s:
                return
            try:
                body = await api.set_deletion_cost(self.client, namespace, pod, cost)
            except ObjectMissing:
                self.gone.add(pod)
                self.cache.drop_pod((namespace, pod))
            except AccessDenied as exc:
                self.denied[pod] = exc
            except (ClusterUnavailable, ObjectChanged) as exc:
                self.failed[pod] = exc
            else:
                seen = pod_of(body, 0.0)
                # A ReplicaSet does not count one that was told to end.
                (self.gone if seen.ended or seen.terminating else self.changed).add(pod)
                self.cache.put_pod(body)  # before the watch tells

    def _tell(self) -> None:
        place = f"{self.deployment.namespace}/{self.deployment.name}"
        for pods, one, more in (
            (self.denied, "pod goes unmarked", "pods go unmarked"),
            (self.failed, "pod is not marked", "pods are not marked"),
        ):
            if pods:
                cause = next(iter(pods.values()))
                logger.warning("%s: %s: %s", place, counted(len(pods), one, more), cause)
