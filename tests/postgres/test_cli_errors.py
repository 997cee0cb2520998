"""Every error of the command line is one line with a remedy."""

import socket
from pathlib import Path

import pytest
from tests.support.commands import assert_one_line, module, worker
from tests.support.postgres import CANARY
from tests.support.worker_process import APP, Bench, run_command


@pytest.mark.parametrize(
    "command",
    [
        ("migrate",),
        ("stats",),
        ("worker", "--app", APP),
        ("enqueue", "--queue", "q", "--task", "t"),
        ("dead", "list", "--queue", "q"),
        ("queue", "list"),
    ],
    ids=lambda command: command[0],
)
def test_a_malformed_dsn_is_one_line_without_the_password(command: tuple[str, ...]) -> None:
    done = run_command(f"postgresql://user:{CANARY}@host:port:5432/db", *command)

    assert_one_line(done, "QUEUEWORKER_DSN")


def test_no_dsn_is_one_line_that_names_the_variable() -> None:
    assert_one_line(run_command("", "stats"), "QUEUEWORKER_DSN")


def test_an_unreachable_database_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        dsn = f"postgresql://user:{CANARY}@127.0.0.1:{port}/db"
        for command in (("stats",), ("migrate",), ("enqueue", "--queue", "q", "--task", "t")):
            done = run_command(dsn, *command)
            assert_one_line(done, "127.0.0.1", "the connection is refused", "reached")
    nowhere = run_command(f"postgresql://user:{CANARY}@name.invalid/db", "stats")
    assert_one_line(nowhere, "name.invalid", "cannot be resolved")
    no_socket = run_command(f"host=/nonexistent password={CANARY} dbname=db", "stats")
    assert_one_line(no_socket, "no server has its socket there")


def test_a_database_or_a_role_that_does_not_exist_is_told_from_an_unreachable_server(
    dsn: str,
) -> None:
    other = dsn.rsplit("dbname=", 1)[0] + "dbname=nowhere"
    done = run_command(other, "stats")
    assert_one_line(done, "nowhere", "database does not exist")
    assert "answer" not in done.stderr
    stranger = dsn.replace("user=postgres", "user=nobody_at_all")
    assert_one_line(run_command(stranger, "stats"), "nobody_at_all", "role is wrong")


def test_an_unknown_module_is_one_line(dsn: str) -> None:
    here = f"in {Path.cwd()}"
    assert_one_line(worker(dsn, "--app", "no.such.module:app"), "no.such.module", here, "no/")
    assert_one_line(worker(dsn, "--app", "tasky:app"), "'tasky'", here, "that holds tasky.py")
    assert_one_line(worker(dsn, "--app", ".tasks:app"), ".tasks", "--app")
    for written in ("tests.support.ledger_tasks.app", "tests/support/ledger_tasks.py"):
        assert_one_line(worker(dsn, "--app", written), f"did you mean --app {APP}?")


def test_an_error_inside_the_apps_module_is_one_line_that_names_its_place(
    dsn: str, tmp_path: Path
) -> None:
    module(tmp_path, "syn", "def send(:")
    module(tmp_path, "boom", "import os", "raise RuntimeError('no SECRET_KEY')")
    module(tmp_path, "missing", "import os", "os.environ['SECRET_KEY']")
    module(tmp_path, "broken", "", "import nonexistent_mod")
    module(tmp_path, "leaky", f"raise OSError('postgresql://u:{CANARY}@h/x')")
    wrong = ("from queueworker import App, Context", "app = App()", "@app.task()")
    module(tmp_path, "second", *wrong, "def nap(seconds: int, ctx: Context) -> None: ...")

    def said(name: str, *words: str) -> None:
        done = worker(dsn, "--app", name, PYTHONPATH=str(tmp_path))
        assert_one_line(done, *words)

    said("syn", "importing 'syn' failed: SyntaxError: ", "(syn.py, line 1)")
    said("boom", "importing 'boom' failed: RuntimeError: no SECRET_KEY (boom.py:2)")
    said("missing", "importing 'missing' failed: KeyError: 'SECRET_KEY' (missing.py:2)")
    said("broken", "module 'broken' needs 'nonexistent_mod', which is not installed here")
    said("leaky", "postgresql://u:***@h/x")
    said("second", "task 'nap': ctx: queueworker.context.Context must be the first parameter")


def test_an_error_in_a_module_that_the_apps_module_imports_shows_the_way_there(
    dsn: str, tmp_path: Path
) -> None:
    module(tmp_path, "shop", "import boom")
    module(tmp_path, "boom", "def check():", "    raise RuntimeError('no key')", "check()")
    done = worker(dsn, "--app", "shop", PYTHONPATH=str(tmp_path))
    first, *frames = done.stderr.splitlines()

    assert (done.returncode, first) == (
        1,
        "queueworker: importing 'shop' failed: RuntimeError: no key (boom.py:2)",
    )
    assert [line.split(",")[0].split("/")[-1] for line in frames if "File" in line] == [
        'shop.py"',
        'boom.py"',
        'boom.py"',
    ]


def test_an_unknown_attribute_is_one_line(dsn: str) -> None:
    done = worker(dsn, "--app", "tests.support.ledger_tasks:nothing")

    assert_one_line(done, "nothing", "--app")


def test_a_missing_app_is_one_line(dsn: str) -> None:
    assert_one_line(worker(dsn), "--app", "QUEUEWORKER_APP")


def test_a_port_in_use_is_one_line(dsn: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = worker(dsn, "--app", APP, "--port", str(port))

    assert_one_line(done, str(port), "--port")


def test_a_missing_permission_is_one_line(dsn: str, bench: Bench) -> None:
    name = "stranger_of_the_cli"
    bench.conn.execute(f"DROP ROLE IF EXISTS {name}")
    bench.conn.execute(f"CREATE ROLE {name} LOGIN")
    try:
        stranger = dsn.replace("user=postgres", f"user={name}")
        for command, role in (
            (("stats",), "reader"),
            (("worker", "--app", APP, "--queue", "mail", "--port", "0"), "worker"),
            (("enqueue", "--queue", "mail", "--task", "noop"), "enqueue"),
            (("queue", "pause", "mail"), "owner"),
        ):
            done = run_command(stranger, *command)
            assert_one_line(done, "lacks a right", f"GRANT queueworker_{role} TO {name}")
        assert_one_line(run_command(stranger, "migrate"), "migrate")
    finally:
        bench.conn.execute(f"DROP ROLE {name}")


def test_a_missing_schema_is_one_line(empty_dsn: str) -> None:
    for command in (("stats",), ("queue", "list"), ("enqueue", "--queue", "q", "--task", "t")):
        assert_one_line(run_command(empty_dsn, *command), "queueworker migrate")


def test_wrong_usage_exits_with_2_and_help_teaches(dsn: str) -> None:
    assert run_command(dsn, "worker", "--concurrency", "many").returncode == 2
    assert run_command(dsn).returncode == 2
    for command in ((), ("worker",), ("enqueue",), ("dead", "purge"), ("db", "start")):
        done = run_command(dsn, *command, "--help")
        assert done.returncode == 0
        assert "queueworker" in done.stdout


def test_bad_values_are_one_line(dsn: str) -> None:
    assert_one_line(worker(dsn, "--app", APP, "--concurrency", "0"), "--concurrency")
    assert_one_line(worker(dsn, "--app", APP, "--queue", "mail:0"), "mail:0")
    assert_one_line(worker(dsn, "--app", APP, QUEUEWORKER_POLL_S="soon"), "QUEUEWORKER_POLL_S")
    task = ("enqueue", "--queue", "q", "--task", "t", "--args")
    assert_one_line(run_command(dsn, *task, "{to: me}"), "--args")
    assert_one_line(run_command(dsn, *task, "[1]"), "object")
    for delay_s in ("nan", "inf", "-5"):
        done = run_command(dsn, *task, "{}", "--delay", delay_s)
        assert_one_line(done, "--delay must be 0 or more seconds")
    assert_one_line(run_command(dsn, *task, "{}", "--unique-key", ""), "--unique-key is empty")
    assert_one_line(run_command(dsn, "queue", "pause"), "NAME, or --queue NAME")
    assert_one_line(run_command(dsn, "job", "cancel", "5", "--queue", "mail"), "not both")
    assert_one_line(run_command(dsn, "dead", "list", "--queue", "q", "--most", "0"), "--most")
