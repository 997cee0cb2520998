"""A Deployment as a target: reads the caches, writes `/scale` and the pod-deletion-cost."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass

from queueworker_operator.decision.model import PodId, Replicas
from queueworker_operator.errors import (
    AccessDenied,
    ClusterUnavailable,
    ObjectChanged,
    ObjectMissing,
    TargetConflict,
    TargetUnavailable,
)
from queueworker_operator.kube import Client, api
from queueworker_operator.kube.client import DEADLINE_S
from queueworker_operator.target.cache import ClusterCache
from queueworker_operator.target.look import look_afresh
from queueworker_operator.target.marks import Marking
from queueworker_operator.target.objects import Deployment, Pod

LOOK_WITHIN_S = 6.0


@dataclass(slots=True)
class StartUps:
    """Start-up times of the pods seen becoming Ready, since the operator started."""

    count: int = 0
    sum_s: float = 0.0
    sq_sum_s2: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one more."""
        self.count += 1
        self.sum_s += seconds
        self.sq_sum_s2 += seconds * seconds


class DeploymentTarget:
    """The `Target` of one Deployment.

    Args:
        cache: What the watch streams told.
        client: For the two writes.
        namespace: Where the Deployment lives.
        name: Its name.
        clock: Monotonic seconds, the cache's.
    """

    def __init__(
        self,
        cache: ClusterCache,
        client: Client,
        *,
        namespace: str,
        name: str,
        clock: Callable[[], float],
    ) -> None:
        self._cache = cache
        self._client = client
        self._namespace = namespace
        self._name = name
        self._clock = clock
        self._start_ups = StartUps()
        self._counted: frozenset[str] = frozenset()
        self._gone_place = cache.gone_count
        self._read: api.Scale | None = None

    def read(self) -> Replicas | None:
        """Give the Deployment as the caches know it; None when it does not exist."""
        deployment = self._deployment()
        if deployment is None:
            self._read = None
            return None
        pods = self._live(deployment)
        self._count_start_ups(pods)
        self._read = api.Scale(replicas=deployment.replicas, version=str(deployment.version))
        now_s = self._clock()
        staying = [pod for pod in pods if not pod.terminating]
        return Replicas(
            current=deployment.replicas,
            ready=sum(pod.ready for pod in staying),
            starting_ages_s=tuple(now_s - pod.created_s for pod in staying if not pod.ready),
            draining=len(pods) - len(staying),
            start_up_count=self._start_ups.count,
            start_up_sum_s=self._start_ups.sum_s,
            start_up_sq_sum_s2=self._start_ups.sq_sum_s2,
            rollout=deployment.two_templates,
        )

    def stamp(self) -> object:
        """Give the Deployment as it was seen last, and the number of its pods' last news."""
        deployment = self._deployment()
        if deployment is None:
            return None
        return deployment.version, self._cache.news_of(self._namespace, deployment.pods_labels)

    def pods(self) -> Collection[PodId]:
        """Name the live pods (not terminating), registered or not."""
        deployment = self._deployment()
        if deployment is None:
            return ()
        return tuple(pod.id for pod in self._live(deployment) if not pod.terminating)

    def all_pods(self) -> Collection[PodId]:
        """Name the pods that have not ended, those too that are terminating."""
        deployment = self._deployment()
        return () if deployment is None else tuple(pod.id for pod in self._live(deployment))

    def take_gone(self) -> tuple[PodId, ...]:
        """Name the pods that died, vanished or restarted their container since the last call."""
        place, self._gone_place = self._gone_place, self._cache.gone_count
        deployment = self._deployment()
        if deployment is None:
            return ()
        gone = self._cache.gone_since(place)
        return tuple({pod.id for pod in gone if _belongs(pod, deployment)})

    def grace_s(self) -> float:
        """Give the seconds between SIGTERM and SIGKILL of one pod."""
        deployment = self._deployment()
        return deployment.grace_s if deployment else 0.0

    async def look(self) -> None:
        """List the pods anew: a watch stream may hang for a minute, or be slow to tell thousands.

        Raises:
            TargetUnavailable: the API server does not answer in time; the message says what to do.
        """
        deployment = self._deployment()
        if deployment is None:
            return
        try:
            async with asyncio.timeout(LOOK_WITHIN_S):
                await look_afresh(self._client, self._cache, deployment)
        except TimeoutError as exc:
            raise TargetUnavailable(
                f"the pods of deployment {self._namespace}/{self._name} were not listed within"
                f" {LOOK_WITHIN_S:g} s: the Kubernetes API is slow"
            ) from exc
        except (AccessDenied, ClusterUnavailable, ObjectChanged, ObjectMissing) as exc:
            raise TargetUnavailable(str(exc)) from exc

    async def scale(self, desired: int) -> None:
        """Write `/scale`, only if it still has what `read` showed.

        Raises:
            TargetConflict: somebody else changed it meanwhile.
            TargetUnavailable: the write did not happen; the message says what to do.
        """
        if self._read is None:
            raise TargetUnavailable(f"deployment {self._namespace}/{self._name} does not exist")
        if rival := self._cache.rival_of((self._namespace, self._name)):
            raise TargetConflict(f"{rival} keeps overwriting the replicas: not written")
        place = (self._client, self._namespace, self._name)
        self._cache.note_asked((self._namespace, self._name), desired)
        try:
            async with asyncio.timeout(DEADLINE_S):  # all attempts together: see leader.py
                scale = await api.set_scale_where(*place, (self._read, desired))
        except ObjectChanged as exc:
            raise TargetConflict(str(exc)) from exc
        except TimeoutError as exc:
            raise TargetUnavailable(
                f"deployment {self._namespace}/{self._name} was not scaled within {DEADLINE_S:g} s:"
                " the Kubernetes API is slow, or the Deployment changes all the time"
            ) from exc
        except (AccessDenied, ClusterUnavailable, ObjectMissing) as exc:
            raise TargetUnavailable(str(exc)) from exc
        self._cache.note_scaled((self._namespace, self._name), scale.replicas, scale.version)

    async def prefer(
        self, victims: Collection[str], leaving: Collection[str] = ()
    ) -> Collection[str]:
        """Mark pods by their deletion cost; what is left undone comes in the next step.

        Raises:
            TargetUnavailable: no victim could be marked; the message says what to do.
        """
        deployment = self._deployment()
        if deployment is None:
            return ()
        try:
            return await Marking(self._client, self._cache, deployment).mark(victims, leaving)
        except ClusterUnavailable as exc:
            raise TargetUnavailable(str(exc)) from exc

    def _deployment(self) -> Deployment | None:
        return self._cache.deployment(self._namespace, self._name)

    def _live(self, deployment: Deployment) -> list[Pod]:
        found = self._cache.pods_of(self._namespace, deployment.pods_labels)
        return [pod for pod in found if not pod.ended]

    def _count_start_ups(self, pods: Collection[Pod]) -> None:
        for pod in pods:
            if pod.start_up_s is not None and pod.uid not in self._counted:
                self._start_ups.add(pod.start_up_s)
        self._counted = frozenset(pod.uid for pod in pods if pod.start_up_s is not None)


def _belongs(pod: Pod, deployment: Deployment) -> bool:
    same = pod.namespace == deployment.namespace
    return same and all(rule.holds(pod.labels) for rule in deployment.pods_labels)
