"""Who serves metrics as a worker does speaks for its own namespace alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge, start_http_server
from tests.support.prometheus import Watch, running_prometheus, scrape
from tests.support.waiting import wait_until

pytestmark = pytest.mark.system


@pytest.fixture
def impostor() -> Iterator[int]:
    """Serve, in a tenant's pod, that the operator in namespace `ops` leads; give the port."""
    registry = CollectorRegistry()
    Gauge("queueworker_leader", "Forged.", ["namespace"], registry=registry).labels("ops").set(1)
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_tenants_pod_cannot_hide_that_the_operator_is_missing(
    impostor: int, tmp_path: Path
) -> None:
    scrapes = [scrape("workers", [impostor], namespace="tenant")]

    with running_prometheus(tmp_path / "prometheus", scrapes, "ops") as prometheus:
        wait_until(
            lambda: prometheus.query("queueworker_leader"), within_s=20, what="it is scraped"
        )
        assert prometheus.query('queueworker_leader{namespace="ops"}') == []
        assert prometheus.query('queueworker_leader{namespace="tenant"}')
        watch = Watch(prometheus)
        watch.until_fired({"QueueWorkerNoLeader"}, within_s=20)

    assert watch.fired_s.keys() == {"QueueWorkerNoLeader"}
