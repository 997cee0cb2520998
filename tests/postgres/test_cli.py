"""The command line does what it says with jobs, queues and databases."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
from tests.support.commands import Completed, assert_one_line, module
from tests.support.worker_process import Bench, WorkerProcess, environment, run_command


def test_numbers_of_a_list_stand_on_one_line_of_the_json(dsn: str, bench: Bench) -> None:
    args = {"list": [1, 2], "text": "[\n 1,\n 2\n]", "empty": [], "words": ["a"]}
    (job_id,) = bench.enqueue("noop", "mail", 1, **args)
    printed = run_command(dsn, "stats", "--json").stdout
    assert len(printed.splitlines()) < 60
    assert '"wait_histogram": [0, 0, ' in printed
    shown = run_command(dsn, "job", "show", str(job_id), "--json").stdout
    assert json.loads(shown)["job"]["args"] == args


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


def test_a_crash_is_shown_beside_the_attempts_and_not_among_them(dsn: str, bench: Bench) -> None:
    (job_id,) = bench.enqueue("noop")
    bench.conn.execute("UPDATE queueworker.job SET attempt = 2, crash_count = 1")
    shown = run_command(dsn, "job", "show", str(job_id)).stdout
    assert "attempts   1 of 1, and 1 crash that is not charged\n" in shown


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
