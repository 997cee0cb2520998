"""What the API server makes of a QueueWorker: defaults, columns, scale, and every field explained."""

import copy
import json
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from tests.support.chart import DEFINITION
from tests.support.controlplane import ApiServer

from queueworker_operator.resource import parse

VERSION = yaml.safe_load(DEFINITION.read_text())["spec"]["versions"][0]
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
WINDOW = {"cron": "0 8 * * 1-5", "minReplicas": 5, "duration": "10h"}


def changed(path: str, value: object) -> dict[str, Any]:
    """Give the valid resource with one field set."""
    body = copy.deepcopy(VALID)
    *parents, field = path.split(".")
    place = body
    for parent in parents:
        place = place.setdefault(parent, {})
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
