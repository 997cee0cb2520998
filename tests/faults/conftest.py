"""What every fault needs: a fresh database seen beside the workers, and workers of short leases."""

import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.controlplane import ApiServer, run_api_server
from tests.support.mail import Place
from tests.support.operator_bench import OperatorBench, operator_bench
from tests.support.operator_process import grant
from tests.support.tools import ROOT

CRD = ROOT / "crds/queueworkers.queueworker.dev.yaml"
FIRST_OPERATOR_ROW = 31


def is_operator_row(path: Path) -> bool:
    """Tell whether a file is about the operator: it needs the tools of `make tools`."""
    number = path.name.removeprefix("test_")[:2]
    return number.isdecimal() and int(number) >= FIRST_OPERATOR_ROW


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and is_operator_row(item.path):
            item.add_marker(pytest.mark.kubernetes)


@pytest.fixture
def unused_port() -> int:
    """Give a port that nobody listens to now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    """Run a real API server that knows QueueWorkers."""
    with run_api_server() as server:
        server.define(CRD)
        yield server


@pytest.fixture
def operated(api_server: ApiServer, dsn: str, tmp_path: Path) -> Iterator[OperatorBench]:
    """Give a namespace with the operator's rights; what it wrote is checked by O1 to O7."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    api_server.kubectl("create", "namespace", name)
    grant(api_server, name)
    place = Place(server=api_server, namespace=name)
    with operator_bench(place, dsn, tmp_path) as bench:
        yield bench
