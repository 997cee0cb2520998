"""Dead letters can be found, understood and thrown away, many at once."""

import asyncio
import json
import os
import pty
import subprocess
import sys
from dataclasses import replace

import psycopg
import pytest
from tests.support.engine import engine
from tests.support.letters import Letter, bury_all, failed, listed
from tests.support.postgres import Connection
from tests.support.worker_process import Bench, environment, run_command

from queueworker.errors import StatementRefused
from queueworker.job import FailureKind, TransitionKind
from queueworker.store import Selection

pytestmark = pytest.mark.postgres


def test_show_tells_arguments_and_every_attempt_with_its_worker(dsn: str) -> None:
    letter = Letter(error="LookupError: gone", options=(("args", '{"to": "ann"}'),))

    async def scenario() -> int:
        async with engine(dsn) as e:
            worker = await e.worker(pod="pod-7")
            (job_id,) = await e.enqueue(args='{"to": "ann"}', max_attempts=3)
            for kind in (TransitionKind.RETRY, TransitionKind.RETRY, TransitionKind.DEAD):
                await e.sweep()
                (job,) = await e.claim(worker)
                error = replace(letter, error=f"{letter.error} {job.attempt}")
                await e.store.complete(e.queue, [failed(job, error, kind)])
            await e.store.deregister(worker)
            return job_id

    job_id = asyncio.run(scenario())

    shown = run_command(dsn, "dead", "show", str(job_id)).stdout
    for words in ("state      dead at 20", "attempts   3 of 3", '"to": "ann"'):
        assert words in shown
    lines = [line.split() for line in shown.splitlines() if "pod-7" in line]
    assert [(line[0], *line[3:]) for line in lines] == [
        (str(n), "error", "pod-7", "LookupError:", "gone", str(n)) for n in (1, 2, 3)
    ]
    as_json = json.loads(run_command(dsn, "dead", "show", str(job_id), "--json").stdout)
    assert as_json["job"]["args"] == {"to": "ann"}
    assert [failure["attempt"] for failure in as_json["failures"]] == [1, 2, 3]


def test_show_knows_a_job_that_is_not_dead_and_says_when_nothing_is_known(
    dsn: str, bench: Bench
) -> None:
    (job_id,) = bench.enqueue("noop")
    assert "state      ready" in run_command(dsn, "dead", "show", str(job_id)).stdout

    done = run_command(dsn, "dead", "show", "42")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "nothing is known of job 42" in done.stderr


def test_dead_letters_are_found_by_queue_task_kind_error_and_time(
    dsn: str, conn: Connection
) -> None:
    ids = bury_all(
        dsn,
        [
            Letter(error="Connection RESET by peer"),
            Letter(task="b", error="took 30 s", kind=FailureKind.TIMEOUT),
            Letter(task="b", error="100% wrong_thing"),
        ],
    )
    (other,) = bury_all(dsn, [Letter()], queue="reports")
    conn.execute(
        "UPDATE queueworker.dead_job SET died_at = died_at - interval '3 h' WHERE id = %s",
        (ids[0],),
    )

    assert listed(dsn) == [other, ids[2], ids[1], ids[0]]
    assert listed(dsn, "--queue", "mail") == [ids[2], ids[1], ids[0]]
    assert listed(dsn, "--task", "b") == [ids[2], ids[1]]
    assert listed(dsn, "--kind", "timeout") == [ids[1]]
    assert listed(dsn, "--error", "reset BY") == [ids[0]]
    assert listed(dsn, "--error", "0% wrong_") == [ids[2]]
    assert listed(dsn, "--error", "wrongXthing") == []
    assert listed(dsn, "--since", "2h") == [other, ids[2], ids[1]]
    assert listed(dsn, "--until", "2h") == [ids[0]]
    assert listed(dsn, "--until", "2001-01-01") == []
    assert listed(dsn, "--most", "2") == [other, ids[2]]
    assert run_command(dsn, "dead", "list", "--since", "soon").stderr.count("--since") == 1


def test_a_selection_is_counted_first_and_changed_only_with_a_yes(
    dsn: str, conn: Connection
) -> None:
    ids = bury_all(dsn, [Letter(), Letter(task="b"), Letter(task="b", error="other")])
    some = ("--queue", "mail", "--task", "b")
    for command, verb in (("retry", "retry"), ("purge", "delete for good")):
        done = run_command(dsn, "dead", command, *some)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert f"would {verb} 2 dead letters of mail of task b" in done.stderr
        assert done.stdout.splitlines()[1].split() == ["b", "error", "2"]
    assert len(listed(dsn)) == 3

    purged = run_command(dsn, "dead", "purge", *some, "--error", "other", "--yes")
    assert purged.stdout == "1 dead letter of mail of task b with error 'other' was deleted\n"
    assert listed(dsn) == [ids[1], ids[0]]
    retried = run_command(dsn, "dead", "retry", *some, "--yes")
    assert retried.stdout.startswith("1 dead letter of mail")
    assert conn.execute(
        "SELECT state FROM queueworker.jobs WHERE id = %s", (ids[1],)
    ).fetchall() == [("ready",)]
    # The errors of a purged letter go with it, those of a retried one stay its history.
    known = conn.execute("SELECT DISTINCT job_id FROM queueworker.failures ORDER BY 1").fetchall()
    assert known == [(ids[0],), (ids[1],)]
    assert run_command(dsn, "dead", "retry", *some, "--yes").stdout.startswith("no dead letters")


def test_a_person_at_a_terminal_is_asked(dsn: str) -> None:
    bury_all(dsn, [Letter(), Letter()])

    def answer(text: str) -> tuple[int, str]:
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "queueworker", "dead", "purge", "--queue", "mail"]
        with subprocess.Popen(
            command, env=environment(dsn), stdin=theirs, stdout=subprocess.PIPE, text=True
        ) as asked:
            os.write(ours, text.encode())
            said = asked.communicate(timeout=30)[0]
        os.close(ours)
        os.close(theirs)
        return asked.returncode, said

    status, said = answer("no\n")
    assert (status, "delete for good 2 dead letters of mail" in said) == (1, True)
    assert len(listed(dsn)) == 2
    assert answer("y\n")[0] == 0
    assert listed(dsn) == []


def test_a_queue_that_does_not_exist_is_an_error_with_near_names(dsn: str, bench: Bench) -> None:
    nothing = run_command(dsn, "dead", "list", "--queue", "mails")
    assert "and no other" in nothing.stderr
    for name in ("mail", "mail-slow", "reports"):
        bench.conn.execute("SELECT queueworker.ensure_queue(%s)", (name,))
    for command in (("list",), ("retry", "--yes"), ("purge", "--yes")):
        done = run_command(dsn, "dead", *command, "--queue", "mails")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert "did you mean mail or mail-slow?" in done.stderr
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="no queue 'mails'"):
        bench.conn.execute("SELECT queueworker.dead_retry('mails')")


def test_jobs_named_by_id_must_be_dead_letters(dsn: str) -> None:
    ids = bury_all(dsn, [Letter()])
    wrong = run_command(dsn, "dead", "retry", "--id", str(ids[0]), "--id", "42")
    assert (wrong.returncode, "no dead letters: 42; nothing was changed" in wrong.stderr) == (
        1,
        True,
    )
    both = run_command(dsn, "dead", "retry", "--id", str(ids[0]), "--task", "a")
    assert "--id names the jobs" in both.stderr
    neither = run_command(dsn, "dead", "retry", "--task", "a", "--yes")
    assert "--queue, or --id" in neither.stderr
    assert listed(dsn) == ids


def test_the_store_refuses_an_unknown_queue_and_reads_only_what_is_asked(dsn: str) -> None:
    async def scenario() -> int:
        async with engine(dsn) as e:
            with pytest.raises(StatementRefused, match="no queue"):
                await e.store.dead_purge("nowhere")
            return len(await e.store.dead_list(Selection(queue="mail")))

    assert asyncio.run(scenario()) == 0
