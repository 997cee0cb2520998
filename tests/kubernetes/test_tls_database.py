"""The operator and a database that takes TLS alone, proven by an authority that only a mounted file names."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from tests.support.controlplane import ApiServer
from tests.support.judge import Judge
from tests.support.mail import Place, deployment, queue_worker, secret
from tests.support.operator_process import (
    Operator,
    grant,
    kubeconfig_of_account,
    running_operator,
)
from tests.support.postgres import Connection
from tests.support.tls_proxy import TlsAddress, self_signed, tls_in_front_of
from tests.support.waiting import wait_until

BURST = "SELECT queueworker.enqueue_many('mail', 'send', array_fill('{}'::jsonb, ARRAY[2000]))"
Start = Callable[[Path], Operator]


@pytest.fixture
def place(crd: ApiServer, namespace: str) -> Place:
    grant(crd, namespace)
    return Place(server=crd, namespace=namespace)


@pytest.fixture
def tls(dsn: str, tmp_path: Path) -> Iterator[TlsAddress]:
    with tls_in_front_of(f"{conninfo_to_dict(dsn)['host']}/.s.PGSQL.5432", tmp_path) as address:
        yield address


@pytest.fixture
def tls_dsn(dsn: str, tls: TlsAddress) -> str:
    return make_conninfo(dsn, host="localhost", port=tls.port)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Give where the chart's values mount the authorities; nothing is there yet."""
    return tmp_path / "bundle.pem"


@pytest.fixture
def start(
    judge: Judge, place: Place, tls_dsn: str, bundle: Path, tmp_path: Path
) -> Iterator[Start]:
    """Start the operator where an authority is mounted, with the variables of docs/howto/managed-postgres.md."""
    place.apply(deployment(replicas=3), queue_worker(minReplicas=3), secret(tls_dsn))
    kubeconfig = kubeconfig_of_account(place.server, place.namespace, tmp_path)
    variables = {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(bundle)}
    log = tmp_path / "operator.log"
    with ExitStack() as stack:

        def begin(authority: Path) -> Operator:
            shutil.copy(authority, bundle)
            return stack.enter_context(running_operator(judge, kubeconfig, log, environ=variables))

        yield begin


def test_a_burst_is_seen_over_tls(
    place: Place, start: Start, tls: TlsAddress, conn: Connection
) -> None:
    conn.execute(BURST)

    start(tls.certificate)

    place.await_condition("MetricsAvailable", "AsExpected")
    wait_until(lambda: place.replicas() > 3, within_s=10, what="scaled")


def test_a_wrong_authority_is_told_and_the_right_one_needs_no_restart(
    place: Place, start: Start, tls: TlsAddress, bundle: Path, conn: Connection
) -> None:
    conn.execute(BURST)
    other = bundle.parent / "other"
    other.mkdir()
    certificate, _ = self_signed(other)

    start(certificate)

    told = place.await_condition("MetricsAvailable", "MetricsUnavailable")["message"]
    assert "certificate is signed by nobody that is trusted here" in told
    assert "in PGSSLROOTCERT, and no sslrootcert in the DSN" in told
    assert place.replicas() == 3

    shutil.copy(tls.certificate, bundle)

    place.await_condition("MetricsAvailable", "AsExpected")
    wait_until(lambda: place.replicas() > 3, within_s=10, what="scaled")
