"""What the watch streams told about Deployments and pods. Fed by handlers, read by targets."""

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from itertools import takewhile
from typing import Any

from queueworker_operator.kube.api import FIELD_MANAGER, version_of
from queueworker_operator.target.objects import (
    Deployment,
    Pod,
    Requirement,
    age_s,
    aged,
    deployment_of,
    pod_of,
)
from queueworker_operator.target.rival import Rivalry

Body = Mapping[str, Any]
Key = tuple[str, str]
REMEMBERED_GONE = 20_000
# The database spares the leases of workers younger than 5 s, so that of a container's next worker
# lives. What is learned later (the watch was away) is kept to ourselves: the dead one's lease ends
# by itself. A second is left for the node's clock, which may be ahead of ours.
RESTART_TOLD_FOR_S = 4.0
CLOCKS_DIFFER_BY_S = 1.0
NO_RIVALRY = Rivalry()


class ClusterCache:
    """Deployments, pods (indexed by label), and the pods that ended since.

    Args:
        clock: Monotonic seconds.
        wall: Epoch seconds, to age the pods that were there before us.
    """

    def __init__(self, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._clock = clock
        self._wall = wall
        self._deployments: dict[Key, Deployment] = {}
        self._rivalries: dict[Key, Rivalry] = {}
        self._asked: dict[Key, int] = {}
        self._pods: dict[Key, Pod] = {}
        self._by_label: dict[tuple[str, str, str], dict[str, Pod]] = {}
        self._news: dict[tuple[str, str, str], int] = {}
        self._last_news = 0
        self._gone: deque[tuple[int, float, Pod]] = deque(maxlen=REMEMBERED_GONE)
        self._gone_count = 0

    @property
    def gone_count(self) -> int:
        """How many pods or containers ended so far: a place in their history."""
        return self._gone_count

    def deployment(self, namespace: str, name: str) -> Deployment | None:
        """Give one Deployment as it was last seen."""
        return self._deployments.get((namespace, name))

    def put_deployment(self, body: Body) -> None:
        """Take a Deployment's new body; an older one than is known is ignored."""
        key = key_of(body)
        before = self._deployments.get(key)
        if before is not None and version_of(body) < before.version:
            return
        if before is not None and before.uid != body["metadata"].get("uid", ""):
            before = None
        after = deployment_of(body, before)
        self._deployments[key] = after
        rivalry = self._rivalries.get(key, NO_RIVALRY).seen(
            before, after, self._clock(), self._asked.get(key)
        )
        if rivalry is not NO_RIVALRY:
            self._rivalries[key] = rivalry

    def drop_deployment(self, key: Key, uid: str | None = None) -> None:
        """Forget a deleted Deployment; one made anew has another `uid` and stays."""
        known = self._deployments.get(key)
        if known is None or uid not in (None, known.uid):
            return
        del self._deployments[key]
        self._rivalries.pop(key, None)
        self._asked.pop(key, None)

    def rival_of(self, key: Key) -> str | None:
        """Name the manager that keeps overwriting a Deployment's replicas."""
        return self._rivalries.get(key, NO_RIVALRY).rival(self._clock())

    def note_asked(self, key: Key, replicas: int) -> None:
        """Take what we are about to write: the watch may tell of it before the answer does."""
        self._asked[key] = replicas

    def note_scaled(self, key: Key, replicas: int, version: str) -> None:
        """Take what the API server answered to our own write, before the watch tells."""
        before = self._deployments.get(key)
        if before is not None:
            number = int(version) if version.isdecimal() else before.version
            self._deployments[key] = replace(
                before, replicas=replicas, version=number, writer=FIELD_MANAGER
            )

    def put_pod(self, body: Body, *, just_created: bool = False) -> None:
        """Take a pod's new body; an older one than is known is ignored."""
        now_s = self._clock()
        before = self._pods.get(key_of(body))
        if before is not None and before.uid == body["metadata"].get("uid", ""):
            if version_of(body) < before.version:
                return
        elif before is not None:
            self._note_gone(before)
        created_s = now_s if just_created else now_s - age_s(body, self._wall())
        pod = aged(pod_of(body, created_s), before, now_s)
        self._unlink(before)
        self._link(pod)
        known = before if before is not None and before.uid == pod.uid else None
        if known is not None and pod.ended and not known.ended:
            self._note_gone(pod)
        elif known is not None and pod.restarts > known.restarts:
            self._note_gone(pod, for_s=_restart_told_for_s(pod, self._wall()))

    def drop_pod(self, key: Key, uid: str | None = None) -> None:
        """Forget a deleted pod; its leases may end. One made anew has another `uid` and stays."""
        pod = self._pods.get(key)
        if pod is None or uid not in (None, pod.uid):
            return
        del self._pods[key]
        self._unlink(pod)
        self._note_gone(pod)

    def pods_of(self, namespace: str, selector: Collection[Requirement]) -> list[Pod]:
        """List the pods that `selector` matches; an empty selector matches none."""
        if not selector:
            return []
        candidates = self._candidates(namespace, selector)
        return [
            pod
            for pod in candidates
            if pod.namespace == namespace and all(rule.holds(pod.labels) for rule in selector)
        ]

    def news_of(self, namespace: str, selector: Collection[Requirement]) -> int:
        """Number the last thing that happened to a pod that `selector` may match."""
        exact = exact_labels(namespace, selector)
        return min((self._news.get(entry, 0) for entry in exact), default=self._last_news)

    def gone_since(self, place: int) -> Iterable[Pod]:
        """List the pods that died, vanished or restarted a container (just now) after `place`."""
        now_s = self._clock()
        newest_first = takewhile(lambda entry: entry[0] > place, reversed(self._gone))
        return [pod for _, until_s, pod in newest_first if now_s <= until_s]

    def uids_of_pods(self) -> Mapping[Key, str]:
        """Name all cached pods, with their UIDs."""
        return {key: pod.uid for key, pod in self._pods.items()}

    def uids_of_deployments(self) -> Mapping[Key, str]:
        """Name all cached Deployments, with their UIDs."""
        return {key: deployment.uid for key, deployment in self._deployments.items()}

    def _candidates(self, namespace: str, selector: Collection[Requirement]) -> Iterable[Pod]:
        exact = [self._by_label.get(entry, {}) for entry in exact_labels(namespace, selector)]
        return min(exact, key=len).values() if exact else self._pods.values()

    def _note_gone(self, pod: Pod, *, for_s: float = math.inf) -> None:
        self._gone_count += 1
        self._gone.append((self._gone_count, self._clock() + for_s, pod))

    def _note_news(self, pod: Pod) -> None:
        self._last_news += 1
        for label, value in pod.labels.items():
            self._news[pod.namespace, label, value] = self._last_news

    def _link(self, pod: Pod) -> None:
        self._pods[pod.key] = pod
        self._note_news(pod)
        for label, value in pod.labels.items():
            self._by_label.setdefault((pod.namespace, label, value), {})[pod.name] = pod

    def _unlink(self, pod: Pod | None) -> None:
        if pod is None:
            return
        self._note_news(pod)
        for label, value in pod.labels.items():
            entry = (pod.namespace, label, value)
            members = self._by_label.get(entry, {})
            members.pop(pod.name, None)
            if not members:
                self._by_label.pop(entry, None)
                self._news.pop(entry, None)


def exact_labels(namespace: str, selector: Collection[Requirement]) -> list[tuple[str, str, str]]:
    """List the labels that a pod must have to be matched."""
    return [
        (namespace, rule.label, rule.values[0])
        for rule in selector
        if rule.operator == "In" and len(rule.values) == 1
    ]


def key_of(body: Body) -> Key:
    """Name an object: namespace and name."""
    return body["metadata"]["namespace"], body["metadata"]["name"]


def _restart_told_for_s(pod: Pod, wall_s: float) -> float:
    """Give for how long from now it is safe to end the leases of the pod's dead worker."""
    age_s = math.inf if pod.ended_at_s is None else wall_s - pod.ended_at_s
    return RESTART_TOLD_FOR_S - age_s if age_s >= -CLOCKS_DIFFER_BY_S else -math.inf
