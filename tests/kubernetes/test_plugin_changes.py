"""`kubectl queueworker` pause, resume, drain, dead, simulate, against real servers."""

import json
import uuid
from pathlib import Path

import pytest
import yaml
from tests.support.controlplane import ApiServer
from tests.support.mail import Place, deployment, pod, queue_worker, secret
from tests.support.operator_process import kubeconfig_of_account
from tests.support.postgres import CANARY, Connection

from queueworker_operator.plugin import main

Output = pytest.CaptureFixture[str]
REGISTER = (
    "SELECT queueworker.register_worker(%s, %s, %s, 'n', 'v', ARRAY['mail'], ARRAY['a'], 4, 60)"
)
BURY = """
INSERT INTO queueworker.dead_job (id, queue_id, lane_id, attempt, max_attempts, crash_count, kind, error,
  created_at, run_at, timeout_s, args)
SELECT 7, q.id, queueworker.ensure_lane(q, 'send_mail', 0), 3, 3, 0, 'error', E'no \\x1b[31mroute', now(),
  now(), 60, '{}'
FROM queueworker.ensure_queue('mail') AS q;
INSERT INTO queueworker.stat (queue_id, dead) SELECT id, 1 FROM queueworker.queue WHERE name = 'mail'
"""


@pytest.fixture
def place(crd: ApiServer, namespace: str, dsn: str) -> Place:
    place = Place(server=crd, namespace=namespace)
    place.apply(deployment(replicas=1), queue_worker(mode="DryRun"), secret(dsn))
    place.add_pod(pod("mail-worker-a"))
    place.add_pod(pod("other", app="other"))
    return place


def run(place: Place, *words: str) -> int:
    return main([*words, "--kubeconfig", str(place.server.kubeconfig), "-n", place.namespace])


def mode_of(place: Place) -> str:
    return str(place.get("queueworker", "mail")["spec"]["mode"])


def flags_of(conn: Connection) -> list[bool]:
    return [row[0] for row in conn.execute("SELECT drain FROM queueworker.worker").fetchall()]


def test_resume_goes_back_to_the_mode_before_the_pause(place: Place, capsys: Output) -> None:
    assert run(place, "pause", "mail") == 0
    assert mode_of(place) == "Paused"
    assert "is paused (it was DryRun)" in capsys.readouterr().out
    assert run(place, "pause", "mail") == 0
    assert "is paused already" in capsys.readouterr().out
    assert run(place, "resume", "mail", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "name": f"{place.namespace}/mail",
        "before": "Paused",
        "mode": "DryRun",
    }
    assert mode_of(place) == "DryRun"
    assert "annotations" not in {
        key
        for key, value in place.get("queueworker", "mail")["metadata"].items()
        if "mode-before" in str(value) and key == "annotations" and "last-applied" not in str(value)
    }
    assert run(place, "resume", "mail") == 0
    assert "is not paused: it is DryRun" in capsys.readouterr().out


def test_who_may_look_and_not_write_is_told_which_role_to_ask_for(
    place: Place, tmp_path: Path, capsys: Output
) -> None:
    place.kubectl("create", "serviceaccount", "queueworker")
    rules = ("--verb=get,list", "--resource=queueworkers.queueworker.dev")
    place.kubectl("create", "role", "looks", *rules)
    account = f"--serviceaccount={place.namespace}:queueworker"
    place.kubectl("create", "rolebinding", "looks", "--role=looks", account)
    mine = kubeconfig_of_account(place.server, place.namespace, tmp_path)

    assert main(["pause", "mail", "--kubeconfig", str(mine)]) == 1

    line = capsys.readouterr().err
    assert f"not allowed to patch queueworkers in namespace {place.namespace} (" in line
    assert line.rstrip().endswith(": ask who runs the cluster for the role edit there")
    assert mode_of(place) == "DryRun"


def test_resume_without_a_note_is_auto(place: Place, capsys: Output) -> None:
    place.kubectl(
        "patch", "queueworker", "mail", "--type=merge", "-p", '{"spec":{"mode":"Paused"}}'
    )

    assert run(place, "resume", "mail", "-o", "yaml") == 0

    assert yaml.safe_load(capsys.readouterr().out)["mode"] == "Auto"
    assert mode_of(place) == "Auto"


def test_drain_sets_the_flag_of_the_pods_worker_alone_and_undo_takes_it_back(
    place: Place, conn: Connection, capsys: Output
) -> None:
    conn.execute(REGISTER, (uuid.uuid4(), "mail-worker-a", place.namespace))
    conn.execute(REGISTER, (uuid.uuid4(), "mail-worker-b", place.namespace))
    conn.execute("UPDATE queueworker.worker SET busy = 1 WHERE pod = 'mail-worker-a'")

    assert run(place, "drain", "pod/mail-worker-a") == 0
    assert "finishes 1 job." in capsys.readouterr().out
    assert sorted(flags_of(conn)) == [False, True]
    assert run(place, "drain", "mail-worker-a", "--undo", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["drain"] is False
    assert sorted(flags_of(conn)) == [False, False]


@pytest.mark.parametrize(
    ("pod_name", "reason"),
    [
        ("gone", "there is no pod gone"),
        ("other", "no QueueWorker in namespace"),
        ("mail-worker-a", "no live worker of pod mail-worker-a is registered"),
    ],
)
def test_a_pod_that_cannot_be_drained_is_told_why(
    place: Place, pod_name: str, reason: str, capsys: Output
) -> None:
    assert run(place, "drain", pod_name) == 2

    assert reason in capsys.readouterr().err


def test_dead_lists_the_newest_and_no_error_commands_the_terminal(
    place: Place, conn: Connection, capsys: Output
) -> None:
    assert run(place, "dead", "mail") == 0
    assert capsys.readouterr().out == "No dead letters in the queues of mail.\n"
    conn.execute(BURY)

    assert run(place, "dead", "mail") == 0
    text = capsys.readouterr().out
    assert run(place, "dead", "mail", "-o", "yaml") == 0
    found = yaml.safe_load(capsys.readouterr().out)

    assert "send_mail" in text
    assert "queueworker dead show 7" in text
    assert "\x1b" not in text
    assert (found["counts"], found["letters"][0]["kind"]) == ({"mail": 1}, "error")


def test_a_role_that_may_only_count_dead_letters_is_told_what_to_grant(
    place: Place, dsn: str, conn: Connection, capsys: Output
) -> None:
    conn.execute(BURY)
    conn.execute("CREATE ROLE of_dead LOGIN; GRANT queueworker_operator TO of_dead")
    try:
        poor = dsn.replace("user=postgres", "user=of_dead")
        assert run(place, "dead", "mail", "--dsn", poor) == 2
    finally:
        conn.execute("DROP ROLE of_dead")

    line = capsys.readouterr().err
    assert "mail has 1 dead letter," in line
    assert "grant queueworker_reader" in line
    assert CANARY not in line


def test_simulate_takes_promise_bounds_and_slots_from_the_cluster(
    place: Place, tmp_path: Path, capsys: Output
) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("t_s,arrivals\n0,30\n60,0\n120,0\n")
    words = ("--trace", str(trace), "--policy", "dbc")

    assert run(place, "simulate", "mail", *words) == 0
    text = capsys.readouterr().out
    assert run(place, "simulate", "mail", *words, "-o", "json") == 0
    figures = json.loads(capsys.readouterr().out)

    assert "promise 30 s, 0 to 50 pods of 10 slots" in text
    assert set(figures) == {"dbc"}
