"""What every fault needs: a fresh database seen beside the workers, and workers of short leases."""

import socket
from collections.abc import Iterator

import pytest
from tests.support.worker_process import Bench


@pytest.fixture
def bench(dsn: str) -> Iterator[Bench]:
    with Bench(dsn) as bench:
        yield bench


@pytest.fixture
def unused_port() -> int:
    """Give a port that nobody listens to now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
