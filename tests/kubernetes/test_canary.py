"""The password of a Secret stands in nothing that the operator says, whatever goes wrong."""

import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql
from tests.postgres.test_secrets import TEXTS
from tests.support.controlplane import ApiServer
from tests.support.judge import Judge
from tests.support.mail import Place, deployment, queue_worker, secret
from tests.support.operator_process import (
    Operator,
    command,
    environment,
    grant,
    kubeconfig_of_account,
    run_to_its_end,
    running_operator,
)
from tests.support.postgres import CANARY, Connection
from tests.support.waiting import wait_until

from queueworker_operator.handlers.secrets import Database, Reading
from queueworker_operator.kube import find_credentials
from queueworker_operator.lag import connection
from queueworker_operator.lag.postgres import PostgresLag
from queueworker_operator.plugin import main
from queueworker_operator.plugin.access import Access
from queueworker_operator.settings import DatabaseSettings

Output = pytest.CaptureFixture[str]
# Where the password stands in a connection string that cannot work.
BROKEN = {
    "away": f"host=/nonexistent user=u password={CANARY} dbname=x",
    "no-host": f"postgresql://u:{CANARY}@name.invalid:5432/x",
    "host-too-long": f"host={'h' * 80} password={CANARY} dbname=x",
    "no-port": f"postgresql://u:{CANARY}@h:port/x",
    "misplaced": f"postgresql://u:x/{CANARY}@h/x",
    "unclosed": f"host=h password='{CANARY}",
    "unknown-word": f"host=h {CANARY}=x",
    "file-of-ours": f"host=h password={CANARY} passfile=/etc/shadow",
    "bare": CANARY,
    "refused": "",  # the working one with a user that is none
}
TATTLER = f"""
    CREATE FUNCTION tattle() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION 'the password is {CANARY}'; END $$;
    CREATE TRIGGER tattle BEFORE INSERT ON queueworker.decision
      FOR EACH ROW EXECUTE FUNCTION tattle()
"""
ENQUEUE = "SELECT queueworker.enqueue_many('mail', 'send', array_fill('{}'::jsonb, ARRAY[500]))"


@pytest.fixture
def place(crd: ApiServer, namespace: str, dsn: str) -> Place:
    """Give a namespace with what works and what cannot."""
    grant(crd, namespace)
    place = Place(server=crd, namespace=namespace)
    set_up(place, dsn)
    return place


@pytest.fixture
def kubeconfig(place: Place, tmp_path: Path) -> Path:
    return kubeconfig_of_account(place.server, place.namespace, tmp_path)


def set_up(place: Place, dsn: str) -> None:
    """Make one QueueWorker that works, and one for each connection string that does not."""
    assert CANARY in dsn
    place.apply(deployment(), secret(dsn), queue_worker())
    refused = dsn.replace("user=postgres", "user=nobody_here")
    for name, broken in BROKEN.items():
        place.apply(
            deployment(name),
            secret(broken or refused, name),
            queue_worker(
                name,
                queues=[name],
                scaleTargetRef={"name": name},
                database={"secretRef": {"name": name}},
            ),
        )


def await_all_told(place: Place) -> None:
    for name in BROKEN:
        wait_until(
            lambda name=name: place.condition("MetricsAvailable", name).get("status") == "False",  # type: ignore[misc]
            within_s=30,
            what=f"{name} is told",
        )


def stored(conn: Connection) -> str:
    """Give every value of the schema's tables, as text."""
    found = []
    for table, column in conn.execute(TEXTS).fetchall():
        query = sql.SQL("SELECT string_agg({}::text, ' ') FROM queueworker.{}")
        row = conn.execute(query.format(sql.Identifier(column), sql.Identifier(table))).fetchone()
        found.append(str(row))
    return "".join(found)


def channels(place: Place, operator: Operator, conn: Connection) -> Iterator[tuple[str, str]]:
    """Give all that the operator says, by where it says it."""
    process = Path(f"/proc/{operator.process.pid}")
    yield "log", operator.log.read_text()
    for kind in ("queueworkers", "events", "leases", "pods", "deployments"):
        yield kind, place.kubectl("get", kind, "-o", "json", "--show-managed-fields")
    yield "described", place.kubectl("describe", "queueworkers")
    for path in ("/metrics", "/livez", "/readyz", "/"):
        yield path, operator.get(path)[1]
    yield "arguments", (process / "cmdline").read_text()
    yield "environment", (process / "environ").read_text()
    yield "tables", stored(conn)
    yield "sessions", repr(conn.execute("SELECT * FROM pg_stat_activity").fetchall())


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_no_channel_of_the_operator_tells_a_password(
    place: Place, judge: Judge, kubeconfig: Path, conn: Connection, log_format: str
) -> None:
    environ = {"QUEUEWORKER_OPERATOR_LOG_FORMAT": log_format}
    with running_operator(
        judge, kubeconfig, kubeconfig.with_name("log"), environ=environ
    ) as operator:
        conn.execute(ENQUEUE)
        wait_until(lambda: place.replicas() > 0, within_s=20, what="scaled")
        await_all_told(place)
        conn.execute(TATTLER)
        conn.execute(
            "SELECT queueworker.enqueue_many('mail', 'send', array_fill('{}'::jsonb, ARRAY[9000]))"
        )
        told = place.await_condition("MetricsAvailable", "MetricsUnavailable")
        said = dict(channels(place, operator, conn))

    assert "did not take the decision's record" in told["message"]
    assert [name for name, text in said.items() if CANARY in text] == []
    assert min(map(len, said.values())) > 0, "a channel that says nothing proves nothing"
    assert CANARY not in (kubeconfig.with_name("log")).read_text()


@pytest.mark.usefixtures("judge")
def test_a_dump_of_all_stacks_tells_no_password(place: Place, kubeconfig: Path) -> None:
    """SIGABRT, as a watchdog sends it, with Python's fault handler on."""
    path = kubeconfig.with_name("log")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a memory image has everything
    with path.open("wb") as log:
        process = subprocess.Popen(
            command("run", "--port", "0"),
            stdout=log,
            stderr=log,
            env=dict(environment(kubeconfig, PYTHONFAULTHANDLER="1", PYTHONASYNCIODEBUG="1")),
        )
    await_all_told(place)

    process.send_signal(signal.SIGABRT)

    assert process.wait(20) == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in path.read_text()
    assert CANARY not in path.read_text()


@pytest.fixture
def operated(place: Place, judge: Judge, kubeconfig: Path, conn: Connection) -> Place:
    """Let an operator scale and end."""
    with running_operator(judge, kubeconfig, kubeconfig.with_name("log")):
        conn.execute(ENQUEUE)
        wait_until(lambda: place.replicas() > 0, within_s=20, what="scaled")
    return place


@pytest.mark.parametrize("output", ["text", "json", "yaml"])
def test_the_plugin_tells_no_password(operated: Place, output: str, capsys: Output) -> None:
    access = ["--kubeconfig", str(operated.server.kubeconfig), "-n", operated.namespace]
    shape = [] if output == "text" else ["-o", output]

    for name in ("mail", *BROKEN):
        for words in (["get", name], ["status", name], ["why", name], ["compare", name]):
            main([*words, *shape, *access])
    said = capsys.readouterr()

    assert "mail" in said.out
    assert said.err.count("kubectl queueworker: ") > len(BROKEN)
    assert CANARY not in said.out + said.err


def test_explain_with_a_dsn_of_its_own_tells_no_password(kubeconfig: Path) -> None:
    for broken in BROKEN.values():
        if broken:
            done = run_to_its_end(kubeconfig, "explain", "mail/mail", "--dsn", broken)
            assert done.returncode != 0
            assert CANARY not in done.stdout + done.stderr
            assert "Traceback" not in done.stderr


def test_nothing_that_holds_an_address_shows_it_when_it_is_printed(place: Place, dsn: str) -> None:
    settings = DatabaseSettings()
    credentials = find_credentials({"KUBECONFIG": str(place.server.kubeconfig)})
    held = [
        Database(dsn, dsn),
        Reading(due_s=0, read_at_s=0, values={"dsn": dsn}),
        PostgresLag(dsn, dsn, settings),
        connection.Database(dsn, settings),
        Access(credentials=credentials, namespace="mail", dsn=dsn),
    ]

    assert CANARY in dsn
    assert CANARY not in repr(held)
    assert place.server.token not in repr(held)
