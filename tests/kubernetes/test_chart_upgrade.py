"""helm brings an older definition up to date under stored objects, and leaves both when it goes.

Against an API server alone: nothing here waits for a pod. The end-to-end tests do that on real nodes.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.chart import CHART, DEFINITION
from tests.support.controlplane import ApiServer, run_api_server
from tests.support.helm import RELEASES, HelmRelease, helm_path
from tests.support.waiting import wait_until

BEFORE = Path(__file__).with_name("definition_before.yaml")
NAME = "queueworkers.queueworker.dev"
RELEASE = "queueworker"
LEAST: dict[str, Any] = {
    "scaleTargetRef": {"name": "mail-worker"},
    "queues": ["mail"],
    "database": {"secretRef": {"name": "mail-db"}},
}
MOST = LEAST | {
    "startWithin": "1h30m",
    "slotsPerPod": 7,
    "minReplicas": 2,
    "maxReplicas": 10_000,
    "replicas": 3,
    "mode": "Paused",
}
STATUS = {"observedGeneration": 1, "replicas": {"desired": 3, "current": 2}, "selector": "app=x"}
NEW = {
    "latePercent": 1,
    "objective": "Latency",
    "saturation": "Spend",
    "fallback": {"replicas": 2, "after": "2m"},
    "schedule": [{"cron": "0 8 * * 1-5", "timezone": "UTC", "minReplicas": 2, "duration": "10h"}],
}


class Installed:
    """A release on an API server of its own, by one helm."""

    def __init__(self, server: ApiServer, helm: HelmRelease) -> None:
        self.server = server
        self._helm = helm_path(helm)

    def helm(self, *arguments: str | Path) -> str:
        """Run helm in namespace mail."""
        command = [self._helm, *arguments, "--namespace=mail"]
        environment = os.environ | {"KUBECONFIG": str(self.server.kubeconfig)}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def definition(self) -> dict[str, Any]:
        """Give the fields of spec that the API server knows."""
        body = json.loads(self.server.kubectl("get", "crd", NAME, "-o", "json"))
        version = body["spec"]["versions"][0]
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        return {"fields": set(spec["properties"]), "stored": body["status"]["storedVersions"]}

    def create(self, name: str, spec: dict[str, Any]) -> None:
        """Store an object and its status, as a user and the operator do."""
        body = {
            "apiVersion": "queueworker.dev/v1alpha1",
            "kind": "QueueWorker",
            "metadata": {"name": name, "namespace": "mail"},
            "spec": spec,
        }
        self.server.kubectl("create", "--validate=strict", "-f", "-", stdin=json.dumps(body))
        change = json.dumps({"status": STATUS})
        self.patch(name, change, "--subresource=status")

    def patch(self, name: str, change: str, *flags: str) -> None:
        """Change an object."""
        patch = ("patch", "queueworker", name, "-n", "mail", "--type=merge", "-p", change)
        self.server.kubectl(*patch, *flags)

    def get(self, name: str) -> dict[str, Any]:
        """Read an object."""
        found = self.server.kubectl("get", "queueworker", name, "-n", "mail", "-o", "json")
        body: dict[str, Any] = json.loads(found)
        return body


@pytest.fixture(params=RELEASES, ids=lambda release: f"helm {release.version}")
def installed(request: pytest.FixtureRequest) -> Iterator[Installed]:
    with run_api_server() as server:
        yield Installed(server, request.param)


def chart_before(folder: Path) -> Path:
    """Give the chart with the older definition in it."""
    chart = Path(shutil.copytree(CHART, folder / "queueworker"))
    shutil.copy(BEFORE, chart / f"files/{NAME}.yaml")
    return chart


def fields(path: Path) -> set[str]:
    version = yaml.safe_load(path.read_text())["spec"]["versions"][0]
    return set(version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"])


def wait_for_fields(installed: Installed, path: Path) -> None:
    wait_until(
        lambda: installed.definition()["fields"] == fields(path), within_s=20, what="the definition"
    )
    established = ("wait", "--for=condition=Established", "--timeout=20s", f"crd/{NAME}")
    installed.server.kubectl(*established)


def test_an_upgrade_brings_the_definition_up_to_date_under_its_stored_objects(
    installed: Installed, tmp_path: Path
) -> None:
    installed.helm("install", RELEASE, chart_before(tmp_path), "--create-namespace")
    wait_for_fields(installed, BEFORE)
    for name, spec in (("least", LEAST), ("most", MOST)):
        installed.create(name, spec)
    before = {name: installed.get(name) for name in ("least", "most")}

    installed.helm("upgrade", RELEASE, CHART)
    wait_for_fields(installed, DEFINITION)
    after = {name: installed.get(name) for name in ("least", "most")}

    assert fields(BEFORE) < fields(DEFINITION)
    assert installed.definition()["stored"] == ["v1alpha1"]
    for name, body in after.items():
        old = before[name]
        assert body["metadata"]["uid"] == old["metadata"]["uid"]
        assert body["spec"] == old["spec"] | {
            "latePercent": 0.5,
            "objective": "Balanced",
            "saturation": "Protect",
        }
        assert body["status"] == old["status"]
        installed.server.kubectl("replace", "--validate=strict", "-f", "-", stdin=json.dumps(body))
        installed.patch(name, json.dumps({"spec": NEW}))
        assert NEW.items() <= installed.get(name)["spec"].items()
    with pytest.raises(subprocess.CalledProcessError) as refused:
        installed.patch("least", json.dumps({"spec": {"latePercent": 0}}))
    assert "latePercent must be a number from 0.01 to 50" in refused.value.stderr


def test_a_rollback_to_the_older_definition_keeps_the_objects_and_hides_what_it_does_not_know(
    installed: Installed, tmp_path: Path
) -> None:
    installed.helm("install", RELEASE, chart_before(tmp_path), "--create-namespace")
    installed.helm("upgrade", RELEASE, CHART)
    wait_for_fields(installed, DEFINITION)
    for name in ("untouched", "written"):
        installed.create(name, MOST | NEW)

    installed.helm("rollback", RELEASE, "1")
    wait_for_fields(installed, BEFORE)
    hidden = installed.get("untouched")
    installed.patch("written", json.dumps({"metadata": {"labels": {"team": "mail"}}}))
    installed.helm("upgrade", RELEASE, CHART)
    wait_for_fields(installed, DEFINITION)

    assert hidden["spec"].keys() == MOST.keys()
    assert hidden["status"] == STATUS
    assert NEW.items() <= installed.get("untouched")["spec"].items()
    assert "schedule" not in installed.get("written")["spec"]


@pytest.mark.parametrize("scope", ["Namespaced", "Cluster"])
def test_objects_outlive_a_rollback_an_uninstall_and_another_install(
    installed: Installed, scope: str
) -> None:
    flags = (f"--set=scope={scope}", "--set=demo.enabled=true")
    installed.helm("install", RELEASE, CHART, "--create-namespace", *flags)
    wait_for_fields(installed, DEFINITION)
    installed.create("kept", MOST)
    uid = installed.get("kept")["metadata"]["uid"]

    installed.helm("upgrade", RELEASE, CHART, f"--set=scope={scope}")
    installed.helm("rollback", RELEASE, "1")
    printed = installed.helm("uninstall", RELEASE)
    alone = installed.get("kept")
    left = installed.server.kubectl(
        *("get", "all,secrets,configmaps,roles,rolebindings,clusterroles,clusterrolebindings"),
        *("-A", "-l", "app.kubernetes.io/instance=queueworker", "-o", "name"),
    )
    installed.helm("install", RELEASE, CHART, *flags)

    assert NAME in printed
    assert left == ""
    assert (alone["metadata"]["uid"], alone["status"]) == (uid, STATUS)
    assert installed.get("kept")["metadata"]["uid"] == uid
