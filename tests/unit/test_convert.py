"""ScaledObjects as people have them become QueueWorkers, or are refused in words."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.postgres import CANARY

from queueworker_operator.cli import main
from queueworker_operator.resource import parse

CORPUS = sorted((Path(__file__).parent / "scaled_objects").glob("*.yaml"))
Output = pytest.CaptureFixture[str]
TRIGGER = {"type": "postgresql", "metadata": {"connectionFromEnv": "DSN", "query": "SELECT 1"}}


def converted(file: Path, capsys: Output) -> tuple[str, list[dict[str, Any]]]:
    assert main(["convert", str(file)]) == 0
    text = capsys.readouterr().out
    return text, list(yaml.safe_load_all(text))


def spec_of(number: int, capsys: Output) -> tuple[str, dict[str, Any]]:
    [file] = [path for path in CORPUS if path.name.startswith(f"{number}-")]
    text, [body, *_] = converted(file, capsys)
    return " ".join(text.replace("#", " ").split()), body["spec"]


def refused(body: dict[str, Any], folder: Path, capsys: Output) -> str:
    file = folder / "scaledobject.yaml"
    file.write_text(yaml.safe_dump(body))
    assert main(["convert", str(file)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    return told.err


def scaled_object(**spec: Any) -> dict[str, Any]:
    known = {"scaleTargetRef": {"name": "w"}, "triggers": [TRIGGER]}
    return {"kind": "ScaledObject", "metadata": {"name": "mail"}, "spec": known | spec}


def test_there_is_a_corpus() -> None:
    assert len(CORPUS) >= 8


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.stem)
def test_each_becomes_a_valid_queueworker_that_writes_nothing_yet(
    file: Path, capsys: Output
) -> None:
    text, bodies = converted(file, capsys)

    for body in bodies:
        parse(body)
        assert body["spec"]["mode"] == "DryRun"
    assert "how long may a job wait before it starts?" in text
    assert text.count("# To be answered before it is applied:") == len(bodies)
    assert max(map(len, text.splitlines())) <= 100


def test_bounds_are_carried_over_and_queues_are_guessed_from_the_query(capsys: Output) -> None:
    text, spec = spec_of(2, capsys)

    assert (spec["minReplicas"], spec["maxReplicas"]) == (1, 40)
    assert spec["queues"] == ["mail", "mail-bulk"]
    assert "which queues do these workers serve?" in text
    assert "cooldownPeriod: a pod goes when its work fits on fewer" in text
    assert "activationTargetQueryValue 2: the first job starts the first pod" in text


def test_kedas_defaults_are_written_out(capsys: Output) -> None:
    [file] = [path for path in CORPUS if path.name.startswith("8-")]
    text, [_, second] = converted(file, capsys)

    assert (second["spec"]["minReplicas"], second["spec"]["maxReplicas"]) == (0, 100)
    assert "KEDA's default of 100: is it meant?" in text


@pytest.mark.parametrize(
    ("number", "name", "key"), [(2, "mail-postgres", "url"), (3, "media-db", "connection-string")]
)
def test_the_secret_is_found_by_the_deployment_or_the_trigger_authentication(
    number: int, name: str, key: str, capsys: Output
) -> None:
    text, spec = spec_of(number, capsys)

    assert spec["database"] == {"secretRef": {"name": name, "key": key}}
    assert "write the connection string" not in text


@pytest.mark.parametrize(
    ("number", "name", "source"),
    [
        (1, "airflow-worker-db", "the variable AIRFLOW_CONN_AIRFLOW_DB"),
        (4, "invoices-db", "user keda, postgres.db.svc.cluster.local:5432/billing"),
        (5, "orders-db", "TriggerAuthentication shop-db"),
    ],
)
def test_a_secret_that_is_not_there_is_asked_for(
    number: int, name: str, source: str, capsys: Output
) -> None:
    text, spec = spec_of(number, capsys)

    assert spec["database"] == {"secretRef": {"name": name, "key": "dsn"}}
    assert f"write the connection string into Secret {name}, key dsn; it was in" in text
    assert source in text


def test_a_fallback_comes_after_as_many_polls(capsys: Output) -> None:
    _, spec = spec_of(3, capsys)

    assert spec["fallback"] == {"replicas": 6, "after": "60s"}


def test_a_fallback_that_keeps_the_replicas_is_what_happens_without_one(capsys: Output) -> None:
    text, spec = spec_of(7, capsys)

    assert "fallback" not in spec
    assert "the replicas stay as they are while the queues cannot be read" in text
    assert "The ScaledObject is paused (autoscaling.keda.sh/paused-replicas)" in text


def test_times_of_the_day_become_a_schedule_where_their_length_is_plain(capsys: Output) -> None:
    text, spec = spec_of(5, capsys)

    assert spec["schedule"] == [
        {
            "cron": "30 7 * * 1-5",
            "timezone": "Europe/Berlin",
            "minReplicas": 8,
            "duration": "690m",
        }
    ]
    assert "a cron trigger from '0 22 * * 5' to '0 4 * * 1': its length is not plain" in text


def test_two_queries_on_one_database_are_two_queues(capsys: Output) -> None:
    text, spec = spec_of(6, capsys)

    assert spec["queues"] == ["daily", "ad-hoc"]
    assert spec["minReplicas"] == 0
    assert "minReplicaCount 3 was for the time when there is work" in text


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"triggers": [{"type": "kafka", "metadata": {}}]}, "mail has a trigger 'kafka'"),
        ({"triggers": [TRIGGER, {"type": "cpu"}]}, "mail has a trigger 'cpu'"),
        ({"triggers": [{"type": "cron", "metadata": {}}]}, "has no postgresql trigger"),
        ({"triggers": "many"}, "spec.triggers must be a list"),
        ({"triggers": []}, "has no postgresql trigger"),
        ({"scaleTargetRef": {"kind": "StatefulSet", "name": "w"}}, "scales a StatefulSet"),
        ({"scaleTargetRef": {}}, "scaleTargetRef.name is missing"),
        ({"minReplicaCount": "two"}, "minReplicaCount must be a whole number"),
        ({"minReplicaCount": 9, "maxReplicaCount": 4}, "would be no valid QueueWorker"),
        (
            {"triggers": [TRIGGER, {**TRIGGER, "metadata": {"connectionFromEnv": "OTHER"}}]},
            "reads several databases",
        ),
    ],
)
def test_what_cannot_be_converted_is_refused_with_the_reason(
    spec: dict[str, Any], reason: str, tmp_path: Path, capsys: Output
) -> None:
    assert reason in refused(scaled_object(**spec), tmp_path, capsys)


def test_a_scaled_job_and_a_file_without_a_scaled_object_are_refused(
    tmp_path: Path, capsys: Output
) -> None:
    job = {"kind": "ScaledJob", "metadata": {"name": "mail"}, "spec": {}}
    other = {"kind": "Deployment", "metadata": {"name": "mail"}, "spec": {}}

    assert "starts a Job for each message" in refused(job, tmp_path, capsys)
    assert "holds no ScaledObject" in refused(other, tmp_path, capsys)


def test_no_connection_string_of_a_trigger_is_printed(tmp_path: Path, capsys: Output) -> None:
    fields = {"connection": f"postgresql://u:{CANARY}@h/d", "query": "SELECT 1"}
    body = scaled_object(triggers=[{"type": "postgresql", "metadata": fields}])
    file = tmp_path / "scaledobject.yaml"
    file.write_text(yaml.safe_dump(body))

    text, _ = converted(file, capsys)

    assert CANARY not in text
    assert "it was in its metadata" in text


def test_what_is_piped_in_is_read() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "queueworker_operator", "convert", "-"],
        input=yaml.safe_dump(scaled_object()),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert yaml.safe_load(done.stdout)["metadata"] == {"name": "mail"}


def test_a_secret_of_kedas_own_namespace_is_asked_for_and_never_taken_for_one_of_here(
    tmp_path: Path, capsys: Output
) -> None:
    reference = {"name": "pg", "kind": "ClusterTriggerAuthentication"}
    trigger = {"type": "postgresql", "metadata": {}, "authenticationRef": reference}
    secret = {"parameter": "connection", "name": "theirs", "key": "dsn"}
    logins = [
        {"kind": kind, "metadata": {"name": "pg"}, "spec": {"secretTargetRef": [secret]}}
        for kind in ("ClusterTriggerAuthentication", "TriggerAuthentication")
    ]
    file = tmp_path / "scaledobject.yaml"
    file.write_text(yaml.safe_dump_all([scaled_object(triggers=[trigger]), *logins]))

    text, [body] = converted(file, capsys)

    assert body["spec"]["database"] == {"secretRef": {"name": "mail-db", "key": "dsn"}}
    assert "whose Secret is in KEDA's own namespace" in " ".join(text.replace("#", " ").split())


def test_a_terminal_without_its_characters_gets_a_question_mark(tmp_path: Path) -> None:
    query = {"connectionFromEnv": "DSN", "query": "SELECT 1 -- für Zoë"}
    file = tmp_path / "scaledobject.yaml"
    file.write_text(yaml.safe_dump(scaled_object(triggers=[TRIGGER | {"metadata": query}])))

    done = subprocess.run(
        [sys.executable, "-m", "queueworker_operator", "convert", str(file)],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "f?r Zo?" in done.stdout
