"""The programs of the demo and of `helm test`, on a real Postgres."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from tests.support.chart import CHART
from tests.support.ending import end

from queueworker.compat import override

FOLDER = CHART / "files/throwaway"
PROGRAMS = Path(sys.executable).parent
PREPARE = "from prepare import prepare; prepare()"
MEMBERS = """
    SELECT m.rolname, g.rolname
    FROM pg_auth_members AS a
    JOIN pg_roles AS m ON m.oid = a.member
    JOIN pg_roles AS g ON g.oid = a.roleid
    WHERE m.rolname IN ('throwaway_worker', 'throwaway_operator')
"""


class Healthy(BaseHTTPRequestHandler):
    """Answers every question with 200, as an operator that lives does."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    @override
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def operator_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Healthy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def environment(empty_dsn: str, operator_url: str) -> Iterator[dict[str, str]]:
    yield os.environ | {
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        "QUEUEWORKER_DSN": empty_dsn,
        "WORKER_DSN": make_conninfo(empty_dsn, user="throwaway_worker", password="w"),
        "OPERATOR_DSN": make_conninfo(empty_dsn, user="throwaway_operator", password="o"),
        "OPERATOR_URL": operator_url,
        "QUEUEWORKER_NAMESPACE": "mail",
        "QUEUEWORKER_NAME": "queueworker-test",
        "DONE_WITHIN_SECONDS": "30",
    }
    with psycopg.connect(empty_dsn, autocommit=True) as conn:
        for role in ("throwaway_worker", "throwaway_operator"):
            conn.execute(f"DROP ROLE IF EXISTS {role}".encode())


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=FOLDER,
        env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def worker(environment: dict[str, str]) -> Iterator[None]:
    """Run the worker that the chart's pods run."""
    command = ["worker", "--app", "tasks:app", "--queue", "demo", "--port", "0"]
    process = subprocess.Popen(
        [PROGRAMS / "queueworker", *command],
        cwd=FOLDER,
        env=environment
        | {"QUEUEWORKER_DSN": environment["WORKER_DSN"], "PYTHONDONTWRITEBYTECODE": "1"},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        end(process, 20)


def test_a_database_is_prepared_as_often_as_its_pods_start(environment: dict[str, str]) -> None:
    first, again = (run(environment, "-c", PREPARE) for _ in range(2))

    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert "nothing to do" in again.stdout
    with psycopg.connect(environment["QUEUEWORKER_DSN"]) as conn:
        assert set(conn.execute(MEMBERS).fetchall()) == {
            ("throwaway_worker", "queueworker_worker"),
            ("throwaway_operator", "queueworker_operator"),
        }


def test_a_burst_is_done_by_the_demos_worker(environment: dict[str, str]) -> None:
    burst = "import load; load.JOB_S = 0.01; load.enqueue(load.prepare(), 20)"
    assert run(environment, "-c", burst).returncode == 0

    with worker(environment), psycopg.connect(environment["QUEUEWORKER_DSN"]) as conn:
        conn.autocommit = True
        proved = run(
            environment, "-c", "import prove; print(prove.seconds_until_done(prove.prepare()))"
        )

    assert proved.returncode == 0, proved.stderr
    assert "None" not in proved.stdout


def test_helm_test_succeeds_when_somebody_does_its_job(environment: dict[str, str]) -> None:
    assert run(environment, "-c", PREPARE).returncode == 0

    with worker(environment):
        proved = run(environment, "prove.py")

    assert proved.returncode == 0, proved.stdout + proved.stderr
    assert "operator /readyz: 200" in proved.stdout
    assert "the operator scaled from 0, and the job was done" in proved.stdout


def test_helm_test_fails_and_says_where_to_look_when_nobody_does(
    environment: dict[str, str],
) -> None:
    proved = run(environment | {"DONE_WITHIN_SECONDS": "1"}, "prove.py")

    assert proved.returncode == 1, proved.stderr
    assert "was not done within 1 s" in proved.stdout
    assert (
        "kubectl describe queueworker,deployment queueworker-test --namespace mail" in proved.stdout
    )


def test_an_operator_that_does_not_answer_fails_the_test(environment: dict[str, str]) -> None:
    proved = run(environment | {"OPERATOR_URL": "http://127.0.0.1:1"}, "prove.py")

    assert proved.returncode != 0
    assert "Connection refused" in proved.stderr
