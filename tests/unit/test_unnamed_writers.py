"""A size of 0 that somebody writes to `/scale` bears no name: is it a rival's, or our own?"""

from typing import Any

import pytest

from queueworker_operator.target.cache import ClusterCache
from queueworker_operator.target.objects import UNNAMED

MAIL = ("shop", "mail")
OURS = [
    {"manager": "queueworker-operator", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
]
NOBODY: list[dict[str, Any]] = []


@pytest.fixture
def cache() -> ClusterCache:
    return ClusterCache(lambda: 1000.0, lambda: 1_767_225_600.0)


def deployment(version: int, replicas: int, managers: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "shop",
            "name": "mail",
            "uid": "d",
            "resourceVersion": str(version),
            "managedFields": managers,
        },
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "mail"}}},
    }


def scale(cache: ClusterCache, version: int, replicas: int) -> None:
    """Write as our own target does, and be told by the watch."""
    cache.note_asked(MAIL, replicas)
    cache.note_scaled(MAIL, replicas, str(version))
    cache.put_deployment(deployment(version, replicas, OURS if replicas else NOBODY))


def test_who_scales_us_to_0_again_and_again_is_a_rival(cache: ClusterCache) -> None:
    cache.put_deployment(deployment(1, 3, NOBODY))
    for version in (2, 4, 6):
        assert cache.rival_of(MAIL) is None
        scale(cache, version, 5)
        cache.put_deployment(deployment(version + 1, 0, NOBODY))

    assert cache.rival_of(MAIL) == UNNAMED


@pytest.mark.parametrize("told_first", ["answer", "watch"])
def test_our_own_0_is_none(cache: ClusterCache, told_first: str) -> None:
    cache.put_deployment(deployment(1, 3, NOBODY))
    for version in range(2, 12, 2):
        scale(cache, version, 5)
        if told_first == "answer":
            scale(cache, version + 1, 0)
        else:
            cache.note_asked(MAIL, 0)
            cache.put_deployment(deployment(version + 1, 0, NOBODY))
            cache.note_scaled(MAIL, 0, str(version + 1))

    assert cache.rival_of(MAIL) is None


def test_who_scales_up_from_our_own_0_is_one(cache: ClusterCache) -> None:
    rival = [{"manager": "keda", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]
    cache.put_deployment(deployment(1, 3, NOBODY))
    for version in (2, 4, 6):
        scale(cache, version, 0)
        cache.put_deployment(deployment(version + 1, 3, rival))

    assert cache.rival_of(MAIL) == "keda"
