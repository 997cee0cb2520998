"""What the command of a worker says and waits for."""

import json
import re
import signal
import socket

from tests.support.waiting import wait_until
from tests.support.worker_process import APP, Bench, WorkerProcess, probe, run_command


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


def test_a_worker_names_the_signal_that_stops_it(dsn: str) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with WorkerProcess(dsn) as worker:
            worker.ready().signal(number)
            assert worker.wait(within_s=10) == 0
            assert f"{number.name}: draining, 0 jobs run" in worker.log
            assert re.match(r"[0-9-]{10} [0-9:]{8},\d{3}[+-]\d{4} INFO ", worker.lines[-1])


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
