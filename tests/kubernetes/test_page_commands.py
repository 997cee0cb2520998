"""What pages tell kubectl and helm, typed as it stands against a cluster whose pods only pretend to run."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.chart import DEFINITION
from tests.support.controlplane import ApiServer, run_api_server
from tests.support.decisions import store_history
from tests.support.helm import helm_path
from tests.support.mail import Body, Place, deployment, queue_worker, secret
from tests.support.pages import PAGES, ROOT, block_of, every
from tests.support.reader import follow
from tests.support.tools import tool_path

SHOWN_WITHIN_S = 60.0
NOW = "2026-01-01T00:00:00Z"
READY: Body = {
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "AsExpected",
            "message": "",
            "lastTransitionTime": NOW,
        }
    ]
}
BY_KUBECTL = [
    ("docs/howto/disaster.md", "kubectl scale"),
    ("docs/howto/dry-run.md", "kubectl apply"),
    ("docs/howto/dry-run.md", "kubectl queueworker compare"),
    ("docs/howto/why.md", "why mail --decision"),
    ("docs/howto/why.md", "kubectl queueworker get"),
    ("docs/reference/crd.md", "kubectl patch"),
]
# Kinds that a cluster knows only with somebody else's product.
FOREIGN = {"Application", "HelmRelease", "ScaledObject", "TriggerAuthentication"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[ApiServer]:
    with run_api_server(fake_nodes=1) as server:
        yield server


class Shell:
    """A reader's shell in the checkout, whose kubectl and helm know the cluster."""

    def __init__(self, server: ApiServer, folder: Path, cwd: Path = ROOT) -> None:
        for name, program in (("kubectl", tool_path("kubectl")), ("helm", helm_path())):
            (folder / name).symlink_to(program)
        self._cwd = cwd
        self.environment = os.environ | {
            "PATH": f"{folder}:{ROOT / '.venv/bin'}:{os.environ['PATH']}",
            "KUBECONFIG": str(server.kubeconfig),
            "HELM_CACHE_HOME": str(folder / "cache"),
            "HELM_CONFIG_HOME": str(folder / "config"),
            "HELM_DATA_HOME": str(folder / "data"),
        }

    def type(self, text: str, *, place: Place | None = None, **status: Any) -> str:
        """Run commands; meanwhile give an object, named by kind and name, a status."""
        command = ["bash", "-euo", "pipefail", "-c", text]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, cwd=self._cwd, env=self.environment, stdout=pipe, stderr=pipe, text=True
        ) as process:
            deadline = time.monotonic() + SHOWN_WITHIN_S
            while place and process.poll() is None and time.monotonic() < deadline:
                give_status(place, **status)
                time.sleep(0.5)
            try:
                output, errors = process.communicate(timeout=SHOWN_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert process.returncode == 0, f"{text}\n{output}\n{errors}"
        return output


def give_status(place: Place, *, kind: str, name: str, status: Body) -> None:
    patch = yaml.safe_dump({"status": status})
    with suppress(subprocess.CalledProcessError):
        place.kubectl("patch", kind, name, "--subresource=status", "--type=merge", "-p", patch)


def test_the_commands_of_the_page_about_installing_work(cluster: ApiServer, tmp_path: Path) -> None:
    place = Place(server=cluster, namespace="mail")
    page = "docs/howto/install.md"
    for name in ("charts", "examples", "crds"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "images.yaml").write_text(
        block_of(page, "YOUR-REGISTRY/queueworker-operator}").text
    )
    (tmp_path / "bin").mkdir()
    shell = Shell(cluster, tmp_path / "bin", tmp_path)

    shell.type(block_of(page, "mail-db-owner").text)
    shell.type("helm uninstall queueworker --namespace mail")
    shell.type(block_of(page, "--namespace mail --create-namespace").text)
    shown = shell.type(
        block_of(page, "kubectl wait queueworker/mail").text,
        place=place,
        kind="queueworker",
        name="mail",
        status=READY,
    )
    assert "queueworker.queueworker.dev/mail condition met" in shown
    place.kubectl("rollout", "status", "deployment/queueworker", "--timeout=30s")
    removed = shell.type(block_of(page, "helm upgrade").text)

    assert "uninstalled" in removed
    # What the page says of uninstalling: the resource stays.
    assert place.get("queueworker", "mail")["spec"]["queues"] == ["mail"]


def test_the_readmes_way_to_install_works(cluster: ApiServer, tmp_path: Path) -> None:
    shell = Shell(cluster, tmp_path)

    shown = shell.type(block_of("README.md", "helm install").text)

    assert "mail" in shown
    shell.type("helm uninstall queueworker --namespace mail --wait")


@pytest.mark.parametrize(("page", "words"), BY_KUBECTL)
def test_what_a_page_tells_kubectl_works(
    page: str, words: str, cluster: ApiServer, dsn: str, tmp_path: Path
) -> None:
    cluster.define(DEFINITION)
    store_history(dsn, "default/mail")
    place = Place(server=cluster, namespace="default")
    place.apply(deployment(), queue_worker(replicas=3), secret(dsn))
    (tmp_path / "bin").mkdir()
    manifest = block_of("docs/howto/dry-run.md", "mode: DryRun").text
    (tmp_path / "queueworker.yaml").write_text(manifest)

    shown = Shell(cluster, tmp_path / "bin", tmp_path).type(
        block_of(page, words).text.replace("NAME", "mail")
    )

    assert "mail" in shown


def test_the_providers_certificates_are_mounted_for_the_workers(
    cluster: ApiServer, tmp_path: Path
) -> None:
    page = "docs/howto/managed-postgres.md"
    place = Place(server=cluster, namespace="mail")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mail"}}
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(namespace))
    place.kubectl("apply", "-f", str(ROOT / "examples/mail/deployment.yaml"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "global-bundle.pem").write_text("a certificate")
    (tmp_path / "worker-tls.yaml").write_text(block_of(page, "template:").text)

    Shell(cluster, tmp_path / "bin", tmp_path).type(block_of(page, "create configmap").text)

    spec = place.get("deployment", "mail-worker")["spec"]["template"]["spec"]
    [container] = spec["containers"]
    given = {entry["name"]: entry.get("value") for entry in container["env"]}
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    [volume] = [one for one in spec["volumes"] if one["name"] == "mail-db-ca"]
    stored = place.get("configmap", volume["configMap"]["name"])["data"]
    assert Path(given["PGSSLROOTCERT"]).parent == Path(mounted["mail-db-ca"])
    assert stored == {Path(given["PGSSLROOTCERT"]).name: "a certificate"}
    assert "QUEUEWORKER_DSN" in given


def test_the_page_about_gitops_works_to_the_letter(cluster: ApiServer, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    shell = Shell(cluster, tmp_path / "bin", tmp_path)
    cluster.kubectl("delete", "deployment", "mail-worker", "--ignore-not-found")

    follow(ROOT / "docs/howto/gitops.md", tmp_path, shell.environment)


def test_a_real_api_server_takes_the_manifests_of_all_pages(cluster: ApiServer) -> None:
    cluster.define(DEFINITION)
    taken = 0
    for block in every("yaml"):
        assert block.page in PAGES
        for body in yaml.safe_load_all(block.text):
            if body.get("kind", "Application") not in FOREIGN:  # else a chart's values
                cluster.kubectl(
                    *("apply", "--server-side", "--force-conflicts", "--dry-run=server"),
                    *("--validate=strict", "-f", "-"),
                    stdin=yaml.safe_dump(body),
                )
                taken += 1

    assert taken > 3
