"""The command line does what it says, and every error is one line with a remedy."""

import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from tests.support.postgres import CANARY
from tests.support.waiting import wait_until
from tests.support.worker_process import (
    APP,
    Bench,
    WorkerProcess,
    environment,
    probe,
    run_command,
)

Completed = subprocess.CompletedProcess[str]


def assert_one_line(done: Completed, *words: str) -> None:
    lines = done.stderr.splitlines()
    assert done.returncode == 1, done.stderr
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("queueworker: ")
    assert CANARY not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in lines[0]


def worker(dsn: str, *arguments: str, **extra: str) -> Completed:
    return run_command(dsn, "worker", "--queue", "mail", "--port", "0", *arguments, **extra)


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


def module(folder: Path, name: str, *lines: str) -> None:
    (folder / f"{name}.py").write_text("\n".join(lines) + "\n")


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


def test_a_worker_on_an_older_schema_waits_and_says_both_versions(dsn: str, bench: Bench) -> None:
    newest = bench.one("SELECT max(version) FROM queueworker.migration")
    other = bench.one("SELECT max(version) FROM queueworker.migration WHERE version < %s", newest)
    bench.conn.execute("DELETE FROM queueworker.migration WHERE version = %s", (newest,))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with WorkerProcess(dsn, "--port", str(port)) as waiting:
        wait_until(lambda: "queueworker migrate" in waiting.log, what="a warning")
        status, text = probe(port, "/readyz")
        assert (status, probe(port, "/livez")[0]) == (503, 200)
        assert f"version {other}" in text
        assert f"needs {newest}" in text
        assert waiting.stop(within_s=5) == 0


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


def test_numbers_of_a_list_stand_on_one_line_of_the_json(dsn: str, bench: Bench) -> None:
    args = {"list": [1, 2], "text": "[\n 1,\n 2\n]", "empty": [], "words": ["a"]}
    (job_id,) = bench.enqueue("noop", **args)
    printed = run_command(dsn, "stats", "--json").stdout
    assert len(printed.splitlines()) < 60
    assert '"wait_histogram": [0, 0, ' in printed
    shown = run_command(dsn, "job", "show", str(job_id), "--json").stdout
    assert json.loads(shown)["job"]["args"] == args


def test_a_worker_names_the_signal_that_stops_it(dsn: str) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with WorkerProcess(dsn) as worker:
            worker.ready().signal(number)
            assert worker.wait(within_s=10) == 0
            assert f"{number.name}: draining, 0 jobs run" in worker.log
            assert re.match(r"[0-9-]{10} [0-9:]{8},\d{3}[+-]\d{4} INFO ", worker.lines[-1])


def test_many_jobs_are_enqueued_in_one_transaction(dsn: str, bench: Bench) -> None:
    done = run_command(dsn, "enqueue", "--queue", "mail", "--task", "noop", "--count", "2500")

    assert (done.returncode, done.stdout) == (0, "2,500 jobs\n")
    assert bench.one("SELECT count(*) FROM queueworker.job") == 2500
    assert bench.one("SELECT count(DISTINCT xmin::text) FROM queueworker.job") == 1


def test_a_delayed_job_is_scheduled_and_a_taken_key_enqueues_nothing(dsn: str) -> None:
    one = ("enqueue", "--queue", "mail", "--task", "noop", "--unique-key", "k", "--delay", "60")
    job_id = run_command(dsn, *one).stdout.strip()
    assert job_id.isdecimal()
    kept = run_command(dsn, *one)
    assert (kept.returncode, kept.stdout) == (0, "")
    assert kept.stderr == (
        f"queueworker: nothing was enqueued: job {job_id} of queue 'mail' has the unique key 'k'\n"
    )
    rejected = run_command(dsn, *one, "--on-duplicate", "reject")
    assert_one_line(rejected, f"job {job_id} of queue 'mail'", "see --on-duplicate")
    replaced = run_command(dsn, *one, "--on-duplicate", "replace")
    assert (replaced.returncode, replaced.stdout.strip().isdecimal()) == (0, True)

    (row,) = json.loads(run_command(dsn, "stats", "--json").stdout)
    assert (row["queue"], row["ready"], row["scheduled"]) == ("mail", 0, 1)


def test_dead_letters_are_listed_retried_and_purged(dsn: str, bench: Bench) -> None:
    ids = bench.enqueue("fail", count=2)
    with WorkerProcess(dsn):
        bench.until_gone(*ids)
    listed = run_command(dsn, "dead", "list", "--queue", "mail")
    assert listed.stdout.count("LookupError: broken") == 2
    assert "more" not in listed.stdout
    newest = run_command(dsn, "dead", "list", "--most", "1")
    assert newest.stdout.endswith("... and 1 more; --most 2 shows them\n")

    retried = run_command(dsn, "dead", "retry", "--queue", "mail", "--id", str(ids[0]))
    assert retried.stdout == "1 dead letter of mail is ready again\n"
    wrong = run_command(dsn, "job", "cancel", str(ids[1]))
    assert (wrong.returncode, wrong.stderr) == (
        1,
        f"job {ids[1]} is a dead letter already; to delete it: queueworker dead purge --id {ids[1]}\n",
    )
    assert bench.state(ids[0]) == ("ready", 0)
    assert_one_line(run_command(dsn, "dead", "purge", "--queue", "mail"), "1 dead", "--yes")
    assert bench.one("SELECT count(*) FROM queueworker.dead_job") == 1
    assert run_command(dsn, "dead", "purge", "--queue", "mail", "--yes").returncode == 0
    assert bench.one("SELECT count(*) FROM queueworker.dead_job") == 0


def test_a_worker_whose_tasks_have_other_queues_says_so(dsn: str) -> None:
    told = f"no task of {APP} has its queue among: elsewhere, other (they have: mail, reports)"
    with WorkerProcess(dsn, "--queue", "elsewhere", "--queue", "other") as worker:
        worker.ready()
        assert told in worker.log
    with WorkerProcess(dsn) as worker:
        worker.ready()
        assert "has its queue among" not in worker.log


def test_a_job_that_no_live_worker_knows_says_what_it_waits_for(dsn: str, bench: Bench) -> None:
    (job_id,) = bench.enqueue("stranger")

    def shown() -> str:
        return run_command(dsn, "job", "show", str(job_id)).stdout

    assert "waits for  a worker: none is alive that serves queue 'mail'" in shown()
    assert "no live worker knows it" not in run_command(dsn, "stats").stdout
    with WorkerProcess(dsn) as worker:
        worker.ready()
        assert "waits for  a worker that knows task 'stranger'" in shown()
        printed = json.loads(run_command(dsn, "job", "show", str(job_id), "--json").stdout)
        assert printed["waits_for"] == "a worker that knows task 'stranger'"
        told = "queue mail: 1 ready job of task 'stranger': no live worker knows it"
        assert told in run_command(dsn, "stats").stdout
        run_command(dsn, "queue", "pause", "--queue", "mail")
        assert "waits for  the end of the pause: queueworker queue resume mail" in shown()


def test_a_crash_is_shown_beside_the_attempts_and_not_among_them(dsn: str, bench: Bench) -> None:
    (job_id,) = bench.enqueue("noop")
    bench.conn.execute("UPDATE queueworker.job SET attempt = 2, crash_count = 1")
    shown = run_command(dsn, "job", "show", str(job_id)).stdout
    assert "attempts   1 of 1, and 1 crash that is not charged\n" in shown


def test_a_worker_says_when_its_database_is_back(dsn: str, bench: Bench) -> None:
    with WorkerProcess(dsn) as worker:
        worker.ready()
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        bench.conn.execute(f"{ended} WHERE application_name = 'queueworker lease'")
        wait_until(
            lambda: "lease: the database is back after" in worker.log, within_s=15, what="it"
        )
    with WorkerProcess(dsn) as quiet:
        quiet.ready()
        assert quiet.stop() == 0
        assert "is back" not in quiet.log


def test_queues_are_created_listed_paused_and_resumed(dsn: str) -> None:
    assert run_command(dsn, "queue", "create", "mail").returncode == 0
    assert "mail" in run_command(dsn, "queue", "list").stdout
    assert run_command(dsn, "queue", "pause", "mail").returncode == 0
    assert "paused" in run_command(dsn, "stats").stdout
    assert run_command(dsn, "queue", "resume", "mail").returncode == 0
    assert "paused" not in run_command(dsn, "stats").stdout
    assert_one_line(run_command(dsn, "queue", "pause", "nothing"), "nothing", "queue list")


def test_a_queue_is_created_when_a_producers_long_transaction_has_ended(
    dsn: str, bench: Bench
) -> None:
    bench.enqueue("noop")
    command = [sys.executable, "-m", "queueworker", "queue", "create", "reports"]
    with psycopg.connect(dsn) as producer:
        producer.execute("SELECT queueworker.enqueue('mail', 'noop')")
        with subprocess.Popen(command, env=environment(dsn), stdout=subprocess.PIPE) as creating:
            # Meanwhile nobody waits behind it.
            done = run_command(dsn, "enqueue", "--queue", "mail", "--task", "noop")
            assert (done.returncode, creating.poll()) == (0, None)
            producer.commit()
            assert creating.wait(30) == 0


def test_stats_are_watched_until_interrupted(dsn: str, bench: Bench) -> None:
    bench.enqueue("noop")
    watching = subprocess.Popen(
        [sys.executable, "-m", "queueworker", "stats", "--watch"],
        env=environment(dsn, PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with watching:
        assert watching.stdout is not None
        headers = 0
        while headers < 2:
            headers += "QUEUE" in watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 130


def test_a_database_is_started_printed_migrated_and_stopped(tmp_path: Path) -> None:
    # A folder as people name them.
    (tmp_path / "my files").mkdir()
    path = ("--path", str(tmp_path / "my files" / "pg"))
    try:
        started = run_command("", "db", "start", *path)
        dsn = started.stdout.strip()
        assert len(started.stdout.splitlines()) == 1
        assert run_command("", "db", "dsn", *path).stdout.strip() == dsn
        assert run_command(dsn, "migrate", "--create-roles").returncode == 0
        assert "nothing to do" in run_command(dsn, "migrate").stdout
        with psycopg.connect(dsn) as conn:
            assert conn.execute("SELECT count(*) FROM queueworker.jobs").fetchone() == (0,)
    finally:
        assert "stopped" in run_command("", "db", "stop", *path).stdout
    assert_one_line(run_command("", "db", "dsn", *path), "queueworker db start")


def test_a_database_cannot_be_started_where_other_files_are(tmp_path: Path) -> None:
    module(tmp_path, "tasks", "")

    def start(path: Path | str) -> Completed:
        return run_command("", "db", "start", "--path", str(path))

    assert_one_line(start(tmp_path / "tasks.py"), "tasks.py is a file", "--path")
    assert_one_line(start(tmp_path / "tasks.py" / "pg"), "tasks.py", "--path")
    assert_one_line(start("/proc/nothing"), "/proc/nothing", "--path")
    assert_one_line(start(tmp_path), "holds other files", f"{tmp_path / 'pg'}")
    assert [entry.name for entry in tmp_path.iterdir()] == ["tasks.py"]
