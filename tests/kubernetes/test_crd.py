"""The API server itself refuses a wrong QueueWorker, and says what to do."""

import copy
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.controlplane import ApiServer

from queueworker_operator.resource import parse

ROOT = Path(__file__).parents[2]
DEFINITION = yaml.safe_load((ROOT / "crds/queueworkers.queueworker.dev.yaml").read_text())
VERSION = DEFINITION["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]["properties"]
VALID: dict[str, Any] = {
    "apiVersion": "queueworker.dev/v1alpha1",
    "kind": "QueueWorker",
    "metadata": {"name": "mail"},
    "spec": {
        "scaleTargetRef": {"name": "mail-worker"},
        "queues": ["mail"],
        "database": {"secretRef": {"name": "mail-db"}},
    },
}
REMOVED = object()
DURATION = "startWithin must be a duration from 1s to 24h: write it as 30s, 5m or 1h30m"
QUEUE_NAME = "queues must hold names of letters, digits and _ . / -"
SECRET_NAME = "database.secretRef.name must be the name of a Secret"
SECRET_KEY = "database.secretRef.key must be a key of a Secret"
TARGET_NAME = "scaleTargetRef.name must be the name of a Deployment"

WINDOW = {"cron": "0 8 * * 1-5", "minReplicas": 5, "duration": "10h"}

INVALID: list[tuple[str, Any, str]] = [
    ("spec", REMOVED, "spec: Required value"),
    ("spec.scaleTargetRef", REMOVED, "spec.scaleTargetRef: Required value"),
    ("spec.scaleTargetRef.name", REMOVED, "spec.scaleTargetRef.name: Required value"),
    ("spec.scaleTargetRef.name", "", "should be at least 1 chars long"),
    ("spec.scaleTargetRef.name", "Mail_Worker", TARGET_NAME),
    ("spec.scaleTargetRef.name", "m" * 254, "Too long: may not be more than 253 bytes"),
    ("spec.scaleTargetRef.kind", "StatefulSet", 'supported values: "Deployment"'),
    ("spec.scaleTargetRef.apiVersion", "apps/v2", 'supported values: "apps/v1"'),
    ("spec.scaleTargetRef.namespace", "other", 'unknown field "spec.scaleTargetRef.namespace"'),
    ("spec.queues", REMOVED, "spec.queues: Required value"),
    ("spec.queues", [], "should have at least 1 items"),
    ("spec.queues", [f"q{number}" for number in range(17)], "must have at most 16 items"),
    ("spec.queues", ["a", "b", "a"], "queues must name each queue once: remove the repeated name"),
    ("spec.queues", ["two words"], QUEUE_NAME),
    ("spec.queues", ["mail:3"], QUEUE_NAME),
    ("spec.queues", ["q" * 129], "Too long: may not be more than 128 bytes"),
    ("spec.queues", "mail", 'must be of type array: "string"'),
    ("spec.database", REMOVED, "spec.database: Required value"),
    ("spec.database.secretRef.name", REMOVED, "spec.database.secretRef.name: Required value"),
    ("spec.database.secretRef.name", "Mail", SECRET_NAME),
    ("spec.database.secretRef.key", "a/b", SECRET_KEY),
    ("spec.database.secretRef.namespace", "x", 'unknown field "spec.database.secretRef.namespace"'),
    ("spec.database.dsn", "postgresql://h/d", 'unknown field "spec.database.dsn"'),
    ("spec.startWithin", "0s", DURATION),
    ("spec.startWithin", "30", DURATION),
    ("spec.startWithin", "30 s", DURATION),
    ("spec.startWithin", "-5s", DURATION),
    ("spec.startWithin", "24h1s", DURATION),
    ("spec.startWithin", "5m1h", DURATION),
    ("spec.startWithin", "soon", DURATION),
    ("spec.startWithin", 30, 'must be of type string: "integer"'),
    ("spec.slotsPerPod", 0, "should be greater than or equal to 1"),
    ("spec.slotsPerPod", 10_001, "should be less than or equal to 10000"),
    ("spec.minReplicas", -1, "should be greater than or equal to 0"),
    ("spec.minReplicas", 11, "minReplicas must not exceed maxReplicas: lower minReplicas"),
    ("spec.maxReplicas", 0, "should be greater than or equal to 1"),
    ("spec.maxReplicas", 10_001, "should be less than or equal to 10000"),
    ("spec.maxReplicas", "50", 'must be of type integer: "string"'),
    ("spec.maxReplicas", 2.5, 'must be of type int32: "float64"'),
    ("spec.replicas", -1, "should be greater than or equal to 0"),
    ("spec.replicas", 10_001, "should be less than or equal to 10000"),
    ("spec.mode", "auto", 'supported values: "Auto", "DryRun", "Paused"'),
    ("spec.latePercent", 0, "latePercent must be a number from 0.01 to 50"),
    ("spec.latePercent", 51, "should be less than or equal to 50"),
    ("spec.objective", "Cost", 'supported values: "Balanced", "Latency"'),
    ("spec.saturation", "Off", 'supported values: "Protect", "Spend"'),
    ("spec.fallback", {"after": "1m"}, "spec.fallback.replicas: Required value"),
    ("spec.fallback", {"replicas": 0}, "should be greater than or equal to 1"),
    ("spec.fallback", {"replicas": 3, "after": "soon"}, "fallback.after must be a duration"),
    ("spec.schedule", [{}], "spec.schedule[0].cron: Required value"),
    ("spec.schedule", [WINDOW | {"days": 5}], 'unknown field "spec.schedule[0].days"'),
    ("spec.schedule", [WINDOW] * 17, "must have at most 16 items"),
    ("spec.schedule", [WINDOW | {"cron": "0 8 * *    "}], "schedule.cron must have five fields"),
    ("spec.schedule", [WINDOW | {"cron": "0 8 * * 1 2"}], "schedule.cron must have five fields"),
    ("spec.schedule", [WINDOW | {"cron": "60 8 * * 1"}], "schedule.cron has a bad minute: write"),
    ("spec.schedule", [WINDOW | {"cron": "0 24 * * 1"}], "schedule.cron has a bad hour"),
    ("spec.schedule", [WINDOW | {"cron": "0 8 32 * 1"}], "schedule.cron has a bad day of month"),
    ("spec.schedule", [WINDOW | {"cron": "0 8 * MAI *"}], "schedule.cron has a bad month"),
    ("spec.schedule", [WINDOW | {"cron": "0 8 * * 1-8"}], "schedule.cron has a bad day of week"),
    ("spec.schedule", [WINDOW | {"cron": "*/0 8 * * *"}], "schedule.cron has a bad minute"),
    ("spec.schedule", [WINDOW | {"cron": "0 8 " * 20}], "Too long: may not be more than 64 bytes"),
    ("spec.schedule", [WINDOW | {"timezone": "Europe Berlin"}], "schedule.timezone must be the"),
    ("spec.schedule", [WINDOW | {"timezone": "../passwd"}], "schedule.timezone must be the name"),
    ("spec.schedule", [WINDOW | {"minReplicas": 0}], "should be greater than or equal to 1"),
    ("spec.schedule", [WINDOW | {"minReplicas": 11}], "schedule.minReplicas must not exceed"),
    ("spec.schedule", [WINDOW | {"duration": "10"}], "schedule.duration must be a duration"),
    ("spec.schedule", [WINDOW | {"duration": "8d"}], "schedule.duration must be a duration"),
    ("spec.schedule", [WINDOW | {"duration": "169h"}], "schedule.duration must be a duration"),
]


def changed(path: str, value: object) -> dict[str, Any]:
    """Give the valid resource with one field set or removed."""
    body = copy.deepcopy(VALID)
    *parents, field = path.split(".")
    place = body
    for parent in parents:
        place = place.setdefault(parent, {})
    if value is REMOVED:
        del place[field]
    else:
        place[field] = value
    return body


def apply(server: ApiServer, namespace: str, body: Mapping[str, Any], *options: str) -> str:
    return server.kubectl(
        *("apply", "--validate=strict", "-n", namespace, "-f", "-", *options),
        stdin=json.dumps(body),
    )


def get(server: ApiServer, namespace: str, *options: str) -> str:
    return server.kubectl("get", "queueworkers", "mail", "-n", namespace, *options)


def patch(server: ApiServer, namespace: str, change: Mapping[str, Any], *options: str) -> str:
    body = json.dumps(change)
    where = ("-n", namespace, "--type=merge", "-p", body)
    return server.kubectl("patch", "queueworkers", "mail", *where, *options)


@pytest.fixture
def mail(crd: ApiServer, namespace: str) -> tuple[ApiServer, str]:
    """Create the valid resource in a fresh namespace."""
    apply(crd, namespace, VALID)
    return crd, namespace


@pytest.mark.parametrize(
    ("path", "value", "message"),
    INVALID,
    ids=[
        f"{number}-{path}={'removed' if value is REMOVED else repr(value)[:14]}"
        for number, (path, value, _) in enumerate(INVALID)
    ],
)
def test_a_wrong_field_is_refused_with_a_clear_message(
    crd: ApiServer, path: str, value: object, message: str
) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        apply(crd, "default", changed(path, value), "--dry-run=server")

    assert message in refused.value.stderr
    assert "rule evaluation error" not in refused.value.stderr


@pytest.mark.parametrize("promise", ["1s", "90s", "5m", "1h30m", "1h30m15s", "24h", "86400s"])
def test_every_spelling_of_a_promise_is_taken(crd: ApiServer, promise: str) -> None:
    assert apply(crd, "default", changed("spec.startWithin", promise), "--dry-run=server")


@pytest.mark.parametrize(
    "cron",
    [
        "* * * * *",
        "*/15 8-17,20 1,15 JAN-mar mon-fri",
        "0 22 LW * *",
        "30 6 L * 5L",
        "05 08 1-31/2 12 FRI#1,7",
        "5/10 0 1 * SUN",
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Etc/GMT+5", "America/Port-au-Prince"])
def test_what_cron_can_say_is_taken_by_the_server_and_by_the_operator(
    crd: ApiServer, cron: str, zone: str
) -> None:
    window = WINDOW | {"cron": cron, "timezone": zone, "duration": "168h"}
    body = changed("spec.schedule", [window])

    assert apply(crd, "default", body, "--dry-run=server")
    assert parse(body).policy.schedule[0].timezone == zone


def test_a_resource_with_every_field_is_taken(crd: ApiServer, namespace: str) -> None:
    body = copy.deepcopy(VALID)
    body["spec"] |= {"startWithin": "5m", "slotsPerPod": 20, "minReplicas": 1, "maxReplicas": 50}
    body["spec"] |= {
        "replicas": 0,
        "mode": "DryRun",
        "latePercent": 2.5,
        "objective": "Latency",
        "saturation": "Spend",
        "fallback": {"replicas": 6, "after": "2m"},
        "schedule": [WINDOW | {"timezone": "Europe/Berlin"}],
        "queues": ["mail", "EU/Reports_2.x-y", "q" * 128],
    }

    apply(crd, namespace, body)

    assert body["spec"].keys() == SCHEMA["spec"]["properties"].keys()


def test_what_is_left_out_gets_its_documented_default(mail: tuple[ApiServer, str]) -> None:
    spec = json.loads(get(*mail, "-o", "json"))["spec"]

    assert spec == {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "mail-worker"},
        "queues": ["mail"],
        "database": {"secretRef": {"name": "mail-db", "key": "dsn"}},
        "startWithin": "30s",
        "minReplicas": 0,
        "maxReplicas": 10,
        "mode": "Auto",
        "latePercent": 0.5,
        "objective": "Balanced",
        "saturation": "Protect",
    }


def test_the_target_cannot_be_changed_and_everything_else_can(mail: tuple[ApiServer, str]) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        patch(*mail, {"spec": {"scaleTargetRef": {"name": "other"}}})
    patch(*mail, {"spec": {"queues": ["mail", "reports"], "maxReplicas": 50, "mode": "Paused"}})

    assert (
        "scaleTargetRef cannot be changed: delete this QueueWorker and create one"
        in refused.value.stderr
    )
    assert json.loads(get(*mail, "-o", "json"))["spec"]["maxReplicas"] == 50


STATUS: dict[str, Any] = {
    "observedGeneration": 1,
    "selector": "app=mail-worker",
    "replicas": {"desired": 9, "current": 6, "ready": 6, "starting": 3, "draining": 0},
    "backlog": {
        "ready": 412,
        "oldestSeconds": 18.5,
        "running": 60,
        "scheduled": 7,
        "arrivalsPerSecond": 35.25,
        "serviceSeconds": 2.1,
        "startUpSeconds": 22.0,
    },
    "lastDecision": {
        "time": "2026-01-01T12:00:00Z",
        "from": 6,
        "to": 9,
        "reason": "Backlog",
        "message": "6->9: 412 waiting (oldest 18s) + 35/s arriving x 2.1s/job",
    },
    "conditions": [
        {
            "type": kind,
            "status": "True",
            "reason": "AsExpected",
            "message": "",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T12:00:00Z",
        }
        for kind in (
            *("Ready", "MetricsAvailable", "ScalingLimited"),
            *("Saturated", "WorkersHealthy", "Paused", "Conflicted"),
        )
    ],
}


def test_the_whole_status_is_kept_and_the_spec_is_not_touched_by_it(
    mail: tuple[ApiServer, str],
) -> None:
    patch(*mail, {"status": STATUS, "spec": {"maxReplicas": 1}}, "--subresource=status")

    kept = json.loads(get(*mail, "-o", "json"))
    assert kept["status"] == STATUS
    assert kept["spec"]["maxReplicas"] == 10


def test_the_columns_show_the_state_at_a_glance(mail: tuple[ApiServer, str]) -> None:
    patch(*mail, {"status": STATUS}, "--subresource=status")

    header, row = (line.split() for line in get(*mail).splitlines())
    wide_header, wide_row = (line.split() for line in get(*mail, "-o", "wide").splitlines())

    assert header == [
        "NAME",
        "READY",
        "MODE",
        "BACKLOG",
        "OLDEST",
        "DESIRED",
        "CURRENT",
        "REASON",
        "AGE",
    ]
    assert row[:-1] == ["mail", "True", "Auto", "412", "18.5", "9", "6", "Backlog"]
    assert wide_header[len(header) :] == ["MIN", "MAX", "TARGET", "RATE"]
    assert wide_row[len(header) :] == ["0", "10", "mail-worker", "35.25"]


def test_a_scripts_wait_for_ready_ends(mail: tuple[ApiServer, str]) -> None:
    server, namespace = mail
    patch(*mail, {"status": STATUS}, "--subresource=status")

    wait = ("wait", "--for=condition=Ready", "queueworker/mail", "--timeout=5s")

    assert "condition met" in server.kubectl(*wait, "-n", namespace)


@pytest.mark.parametrize(
    "name", ["qw", "queueworker", "queueworkers", "queueworkers.queueworker.dev"]
)
def test_it_is_found_by_each_of_its_names(mail: tuple[ApiServer, str], name: str) -> None:
    server, namespace = mail

    assert server.kubectl("get", name, "mail", "-n", namespace, "-o", "name") == (
        "queueworker.queueworker.dev/mail\n"
    )


def test_kubectl_scale_sets_the_manual_replicas_and_null_returns_to_automatic(
    mail: tuple[ApiServer, str],
) -> None:
    server, namespace = mail
    patch(*mail, {"status": STATUS}, "--subresource=status")
    scale = f"/apis/queueworker.dev/v1alpha1/namespaces/{namespace}/queueworkers/mail/scale"

    with pytest.raises(subprocess.CalledProcessError) as unset:
        server.kubectl("get", "--raw", scale)
    server.kubectl("scale", "queueworker", "mail", "--replicas=3", "-n", namespace)
    read = json.loads(server.kubectl("get", "--raw", scale))
    with pytest.raises(subprocess.CalledProcessError) as refused:
        server.kubectl("scale", "queueworker", "mail", "--replicas=10001", "-n", namespace)
    patch(*mail, {"spec": {"replicas": None}})

    assert '".spec.replicas" does not exist' in unset.value.stderr
    assert read["spec"] == {"replicas": 3}
    assert read["status"] == {"replicas": 6, "selector": "app=mail-worker"}
    assert "should be less than or equal to 10000" in refused.value.stderr
    assert "replicas" not in json.loads(get(*mail, "-o", "json"))["spec"]


def fields(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from fields(field, f"{path}.{name}")
    if "items" in schema:
        yield from fields(schema["items"], f"{path}[]")


FIELDS = [*fields(SCHEMA["spec"], "spec"), *fields(SCHEMA["status"], "status")]


@pytest.mark.parametrize(("path", "field"), FIELDS, ids=[path for path, _ in FIELDS])
def test_every_field_is_described_with_an_example_and_bounded(
    path: str, field: Mapping[str, Any]
) -> None:
    assert "Example: " in field["description"], path
    match field["type"]:
        case "string":
            assert {"maxLength", "enum", "format"} & field.keys(), path
        case "integer" | "number":
            assert "minimum" in field, path
            assert "maximum" in field or path.startswith("status"), path
        case "array":
            assert "maxItems" in field, path


def test_kubectl_explains_the_promise(crd: ApiServer) -> None:
    text = crd.kubectl("explain", "queueworker.spec.startWithin")

    assert "The promise: how long after a job became ready" in text
    assert "Example: 30s, 5m or 1h30m." in " ".join(text.split())
