"""A clock, the caches that it dates, and a target that reads them."""

import pytest
from tests.support.watched import Clock

from queueworker_operator.kube import Client, Credentials
from queueworker_operator.target.cache import ClusterCache
from queueworker_operator.target.deployment import DeploymentTarget


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> ClusterCache:
    return ClusterCache(clock, lambda: 1_767_225_600.0)  # 2026-01-01T00:00:00Z


@pytest.fixture
def target(cache: ClusterCache, clock: Clock) -> DeploymentTarget:
    client = Client(Credentials(server="https://127.0.0.1:1"))
    return DeploymentTarget(cache, client, namespace="shop", name="mail", clock=clock)
