"""One API server for the session, a namespace for each test."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.controlplane import ApiServer, run_api_server
from tests.support.judge import Judge, judged_by_its_secrets
from tests.support.mail import Place
from tests.support.operator_process import (
    Operator,
    Start,
    grant,
    kubeconfig_of_account,
    running_operator,
)
from tests.support.postgres import CANARY

CRD = Path(__file__).parents[2] / "crds" / "queueworkers.queueworker.dev.yaml"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.kubernetes)


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    """Run a real API server (etcd and kube-apiserver): no controllers, no nodes."""
    with run_api_server() as server:
        yield server


@pytest.fixture(scope="session")
def fake_cluster() -> Iterator[ApiServer]:
    """Run an API server of its own with controllers, a scheduler and two fake nodes."""
    with run_api_server(fake_nodes=2) as server:
        yield server


@pytest.fixture(scope="session")
def crd(api_server: ApiServer) -> ApiServer:
    """Install the QueueWorker resource and wait until it is served."""
    api_server.define(CRD)
    return api_server


@pytest.fixture
def namespace(api_server: ApiServer) -> str:
    """Give the name of a fresh namespace; it goes with the API server."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    api_server.kubectl("create", "namespace", name)
    return name


@pytest.fixture
def judge(request: pytest.FixtureRequest, place: Place) -> Iterator[Judge]:
    """Hold what the operators of a test write in its `place` to O1 to O7, when they have ended."""
    for name in request.fixturenames:
        if name.endswith("dsn"):  # the databases outlive the judgement
            request.getfixturevalue(name)
    marker = request.node.get_closest_marker("others_write")
    with judged_by_its_secrets(place, marker.args[0] if marker else None) as judge:
        yield judge


@pytest.fixture
def place(crd: ApiServer, namespace: str) -> Place:
    grant(crd, namespace)
    return Place(server=crd, namespace=namespace)


@pytest.fixture
def start(judge: Judge, place: Place, tmp_path: Path, dsn: str) -> Iterator[Start]:
    """Start operators; they stop before the database goes, and no log may hold its password."""
    assert CANARY in dsn
    kubeconfig = kubeconfig_of_account(place.server, place.namespace, tmp_path)
    logs: list[Path] = []
    with ExitStack() as stack:

        def begin() -> Operator:
            logs.append(tmp_path / f"operator-{len(logs)}.log")
            return stack.enter_context(running_operator(judge, kubeconfig, logs[-1]))

        yield begin
    for log in logs:
        assert CANARY not in log.read_text()
        assert "Traceback" not in log.read_text()
