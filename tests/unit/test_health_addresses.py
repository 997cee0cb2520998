"""The kubelet probes a pod at its address, which may be of either family."""

import socket
import urllib.request
from collections.abc import Iterator

import pytest

from queueworker.health import HealthServer


@pytest.fixture
def health() -> Iterator[HealthServer]:
    server = HealthServer(port=0, is_live=lambda: None, is_ready=lambda: None)
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
def test_probes_are_answered_over_both_families(health: HealthServer, address: str) -> None:
    assert socket.has_dualstack_ipv6()

    with urllib.request.urlopen(f"http://{address}:{health.port}/livez", timeout=5) as answer:
        assert answer.read() == b"ok\n"
