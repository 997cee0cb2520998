"""`kubectl queueworker` against a real API server and a real Postgres."""

import json
import os
import re
import stat
import subprocess
import sys
import uuid
from pathlib import Path

import psycopg
import pytest
import yaml
from tests.support.controlplane import ApiServer
from tests.support.decisions import store_history
from tests.support.mail import Place, deployment, pod, queue_worker, secret
from tests.support.operator_process import kubeconfig_of_account
from tests.support.postgres import CANARY, Connection
from tests.support.tools import tool_path

from queueworker.schema import migrate, migrations
from queueworker_operator.plugin import main

WITHOUT_DRAIN_TIMES = 18
Output = pytest.CaptureFixture[str]
REGISTER = (
    "SELECT queueworker.register_worker(%s, %s, %s, 'n', 'v', ARRAY['mail'], ARRAY['a'], 4, 60)"
)


@pytest.fixture
def place(crd: ApiServer, namespace: str, dsn: str) -> Place:
    place = Place(server=crd, namespace=namespace)
    place.apply(deployment(replicas=3), queue_worker(), secret(dsn))
    place.add_pod(pod("mail-worker-a"))
    place.add_pod(pod("mail-worker-b", ready=False))
    place.add_pod(pod("other", app="other"))
    return place


def flags(place: Place) -> list[str]:
    return ["--kubeconfig", str(place.server.kubeconfig), "-n", place.namespace]


def test_get_shows_the_deployment_its_pods_and_what_their_workers_hold(
    place: Place, conn: Connection, capsys: Output
) -> None:
    conn.execute(REGISTER, (uuid.uuid4(), "mail-worker-a", place.namespace))
    conn.execute("UPDATE queueworker.worker SET busy = 3, held = 2")
    conn.execute("SELECT queueworker.drain_for(array_agg(id), 60) FROM queueworker.worker")
    conn.execute("UPDATE queueworker.worker SET drain_at = drain_at - interval '12 s'")

    assert main(["get", *flags(place)]) == 0
    text = capsys.readouterr().out
    assert main(["get", "qw/mail", "-o", "json", *flags(place)]) == 0
    [branch] = json.loads(capsys.readouterr().out)

    assert f"{place.namespace}/mail  no operator has looked at it, Auto" in text
    assert "deployment mail-worker: 3 asked for, 1 ready" in text
    assert "[###.] 3/4 slots, 2 held" in text
    assert re.search(r"drains 1\ds \(of 40s\)", " ".join(text.replace("│", "").split()))
    assert "mail-worker-b  starting" in text
    assert "other" not in text
    workers = {leaf["pod"]: leaf["worker"] for leaf in branch["pods"]}
    assert workers["mail-worker-b"] is None
    assert 50 < workers["mail-worker-a"].pop("lease_left_s") <= 60
    assert 12 <= workers["mail-worker-a"].pop("drains_for_s") < 20
    assert workers["mail-worker-a"] == {
        "slots": 4,
        "busy": 3,
        "held": 2,
        "oldest_job_s": None,
        "drains": True,
        "drain_patience_s": 40.0,
    }
    assert CANARY not in text


def test_status_tells_what_the_operator_wrote(place: Place, capsys: Output) -> None:
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "AsExpected",
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    place.patch_status(
        "mail",
        {
            "observedGeneration": 1,
            "replicas": {"desired": 9, "current": 6, "ready": 5, "starting": 1, "draining": 0},
            "backlog": {"ready": 412, "oldestSeconds": 18, "running": 20, "scheduled": 0},
            "lastDecision": {
                "time": "2026-01-01T00:00:00Z",
                "from": 6,
                "to": 9,
                "reason": "Backlog",
                "message": "6->9: 412 waiting",
            },
            "conditions": [condition],
        },
    )

    assert main(["status", "mail", *flags(place)]) == 0
    text = capsys.readouterr().out
    assert main(["status", "mail", "-o", "yaml", *flags(place)]) == 0
    status = yaml.safe_load(capsys.readouterr().out)

    assert f"{place.namespace}/mail: Ready" in text
    assert "6->9: 412 waiting" in text
    assert "9 desired, 6 current, 5 ready, 1 starting, 0 draining" in text
    assert "412 waiting, oldest 18s, 20 running" in text
    assert max(map(len, text.splitlines())) <= 80
    assert status["lastDecision"]["to"] == 9


def test_kubectl_itself_finds_the_plugin_and_why_reads_the_secret(
    place: Place, dsn: str, tmp_path: Path
) -> None:
    """The context of the kubeconfig names the namespace."""
    store_history(dsn, f"{place.namespace}/mail")
    script = tmp_path / "kubectl-queueworker"
    run = "import sys; from queueworker_operator.__main__ import kubectl; sys.exit(kubectl())"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{run}" "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    kubeconfig = tmp_path / "own"
    config = yaml.safe_load(place.server.kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = place.namespace
    kubeconfig.write_text(yaml.safe_dump(config))
    environ = {**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin", "KUBECONFIG": str(kubeconfig)}

    def kubectl(*words: str) -> str:
        command = [str(tool_path("kubectl")), "queueworker", *words]
        done = subprocess.run(
            command, env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert CANARY not in done.stdout + done.stderr
        return done.stdout

    assert "One pod fewer" in kubectl("why", "mail", "--decision", "last", "--replay")
    assert "replay to the same, bit for bit" in kubectl("why", "mail", "--all", "--replay")
    assert "with our decisions, in the model" in kubectl("compare", "mail")


def test_what_is_missing_is_one_line_with_the_remedy(
    place: Place, tmp_path: Path, capsys: Output
) -> None:
    def told(*words: str) -> str:
        assert main(list(words)) != 0
        line = capsys.readouterr().err
        assert line.startswith("kubectl queueworker: ")
        assert line.count("\n") == 1
        assert CANARY not in line
        return line

    assert "there is no QueueWorker other in namespace" in told("why", "other", *flags(place))
    assert "no decision of" in told("why", "mail", *flags(place))
    nowhere = f"host=/nonexistent user=x password={CANARY} dbname=x"
    place.apply(secret(nowhere))
    line = told("why", "mail", *flags(place))
    assert "may hold inside the cluster only: give --dsn" in line
    assert "give --dsn" not in told("why", "mail", "--dsn", nowhere, *flags(place))
    place.apply(secret(f"{nowhere} passfile=/root/.pgpass"))
    assert "has passfile, which would use files or names of whoever" in told(
        "why", "mail", *flags(place)
    )
    place.kubectl("delete", "secret", "mail-db")
    assert "mail-db does not exist" in told("why", "mail", *flags(place))
    assert "'away' that it does not hold" in told("get", "--context", "away", *flags(place))
    place.kubectl("create", "serviceaccount", "queueworker")
    mine = kubeconfig_of_account(place.server, place.namespace, tmp_path)
    refused = told("why", "mail", "--kubeconfig", str(mine))
    assert f"not allowed to get queueworkers in namespace {place.namespace} (" in refused
    assert refused.rstrip().endswith(": ask who runs the cluster for the role view there")


def test_a_database_that_is_away_leaves_the_tree_with_a_note(place: Place, capsys: Output) -> None:
    dsn = f"host=/nonexistent user=x password={CANARY} dbname=x"

    assert main(["get", "--dsn", dsn, *flags(place)]) == 0

    text = capsys.readouterr().out
    assert "mail-worker-a  ready" in text
    assert "what its workers hold is not known" in " ".join(text.split())
    assert CANARY not in text


def test_a_schema_without_drain_times_leaves_the_tree_and_says_what_to_run(
    place: Place, empty_dsn: str, capsys: Output
) -> None:
    with psycopg.connect(empty_dsn, autocommit=True) as conn:
        migrate(conn, create_roles=True, files_=migrations()[:WITHOUT_DRAIN_TIMES])

    assert main(["get", "--dsn", empty_dsn, *flags(place)]) == 0

    text = " ".join(capsys.readouterr().out.split())
    assert "mail-worker-a ready" in text
    assert "what its workers hold is not known" in text
    assert "run queueworker migrate" in text


def test_no_queueworker_is_said_in_words(crd: ApiServer, namespace: str, capsys: Output) -> None:
    assert main(["get", *flags(Place(server=crd, namespace=namespace))]) == 0

    assert capsys.readouterr().out == f"No QueueWorker in namespace {namespace}.\n"


def test_the_login_program_of_a_kubeconfig_is_run_as_kubectl_does(
    place: Place, tmp_path: Path, capsys: Output
) -> None:
    config = yaml.safe_load(place.server.kubeconfig.read_text())
    login = tmp_path / "log-in"
    answer = {"kind": "ExecCredential", "status": {"token": place.server.token}}
    login.write_text(f"#!/bin/sh\ntest \"$REGION\" = here && echo '{json.dumps(answer)}'\n")
    login.chmod(0o700)
    asked = {"command": "./log-in", "env": [{"name": "REGION", "value": "here"}]}
    config["users"][0]["user"] = {"exec": asked}
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config))

    assert main(["get", "--kubeconfig", str(path), "-n", place.namespace]) == 0
    assert "deployment mail-worker" in capsys.readouterr().out
    asked["env"][0]["value"] = "elsewhere"  # type: ignore[index]
    path.write_text(yaml.safe_dump(config))
    assert main(["get", "--kubeconfig", str(path)]) == 2
    assert "gave no credential (CalledProcessError): does kubectl get pods work?" in (
        capsys.readouterr().err
    )
