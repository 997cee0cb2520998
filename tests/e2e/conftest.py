"""A Postgres and an operator for the session; each test brings its own workload and database."""

import contextlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from psycopg import sql
from tests.support.cluster import Cluster, CommandFailed
from tests.support.deployed import Deployed
from tests.support.images import Images
from tests.support.judge import judged
from tests.support.operator_release import QUEUE_WORKERS, OperatorRelease
from tests.support.postgres import Connection
from tests.support.postgres_pod import PASSWORD, TEMPLATE, PostgresPod
from tests.support.workload import Access, Workload, resources_of

NAMESPACE = "queueworker-e2e"
WORKER_ROLE = "app"
OPERATOR_ROLE = "scaler"
LEDGER = """
    CREATE TABLE ledger (
        job_id bigint NOT NULL,
        attempt int NOT NULL,
        token bigint NOT NULL,
        worker text NOT NULL,
        started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        note text
    )
"""
Install = Callable[[Workload], Deployed]
measured: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(420))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if measured:
        terminalreporter.section("measured")
    for line in measured:
        terminalreporter.write_line(line)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failure what the cluster looked like."""
    report = yield
    operator = getattr(item, "funcargs", {}).get("operator")
    if report.when == "call" and report.failed and operator is not None:
        report.sections.append(("cluster", operator.describe()))
    return report


@pytest.fixture
def measure() -> Callable[[str], None]:
    """Give a function that keeps a line for the end of the run."""
    return measured.append


@pytest.fixture(scope="session")
def images() -> Images:
    return Images.from_env()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Give an empty namespace of the cluster."""
    cluster = Cluster.from_env(NAMESPACE)
    cluster.kubectl("create", "namespace", NAMESPACE)
    yield cluster
    cluster.kubectl("delete", "crd", QUEUE_WORKERS, "--ignore-not-found")
    cluster.kubectl("delete", "namespace", NAMESPACE, within_s=180)


@pytest.fixture(scope="session")
def postgres(cluster: Cluster, images: Images) -> Iterator[PostgresPod]:
    pod = PostgresPod(cluster)
    pod.start(images.postgres)
    yield pod
    pod.stop_forwarding()


@pytest.fixture(scope="session")
def operator(cluster: Cluster, images: Images, postgres: PostgresPod) -> Iterator[OperatorRelease]:
    """Install the chart; its Job migrates the database that tests copy."""
    owner = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "owner-db"}}
    cluster.apply(owner | {"stringData": {"dsn": postgres.dsn(TEMPLATE)}})
    release = OperatorRelease(cluster=cluster, images=images, owner_secret="owner-db")
    try:
        release.install()
    except CommandFailed as failed:
        pytest.fail(f"{failed}\n{release.describe()}")
    create_roles(postgres)
    yield release
    release.uninstall()


@pytest.fixture(scope="module")
def empty_cluster(operator: OperatorRelease) -> Iterator[Cluster]:
    """Take the session's release and the definition away meanwhile."""
    operator.uninstall()
    operator.cluster.kubectl("delete", "crd", QUEUE_WORKERS)
    yield operator.cluster
    operator.cluster.kubectl("delete", "crd", QUEUE_WORKERS, "--ignore-not-found")
    operator.install()


def create_roles(postgres: PostgresPod) -> None:
    """Give the application and the operator logins with the least rights."""
    login = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}")
    members = {WORKER_ROLE: "queueworker_worker", OPERATOR_ROLE: "queueworker_operator"}
    for role, group in members.items():
        names = (sql.Identifier(role), sql.Literal(PASSWORD), sql.Identifier(group))
        postgres.execute(TEMPLATE, login.format(*names))
    postgres.execute(TEMPLATE, LEDGER, "GRANT INSERT ON ledger TO queueworker_worker")


@pytest.fixture
def install(operator: OperatorRelease, postgres: PostgresPod) -> Iterator[Install]:
    """Give a function that installs a workload with a database of its own; gone at the end.

    First all that the operator wrote meanwhile is held to O1 to O7.
    """
    databases: set[str] = set()

    def connected() -> list[Connection]:
        return [installed.enter_context(postgres.connect(name)) for name in sorted(databases)]

    with contextlib.ExitStack() as installed, judged(operator.cluster, connected):

        def install_workload(workload: Workload) -> Deployed:
            database = workload.database
            databases.add(database)
            if workload.shares_database is None:
                postgres.create(database)
                installed.callback(postgres.drop, database)
            access = Access(
                worker_dsn=postgres.dsn(database, WORKER_ROLE),
                operator_dsn=postgres.dsn(database, OPERATOR_ROLE),
            )
            resources = resources_of(workload, operator.images.app, access)
            installed.callback(operator.cluster.delete, *resources)
            operator.cluster.apply(*resources)
            return Deployed(workload, operator.cluster, postgres)

        yield install_workload
