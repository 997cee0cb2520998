"""What pages tell kubectl and helm, typed as it stands against a cluster whose pods only pretend to run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.support.chart import DEFINITION
from tests.support.cluster_shell import ClusterShell
from tests.support.controlplane import ApiServer, run_api_server
from tests.support.decisions import store_history
from tests.support.mail import Place, deployment, queue_worker, secret
from tests.support.pages import PAGES, ROOT, block_of, every
from tests.support.reader import follow

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

    shown = ClusterShell(cluster, tmp_path / "bin", tmp_path).type(
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

    shell = ClusterShell(cluster, tmp_path / "bin", tmp_path)
    for words in ("create configmap", "patch deployment"):
        shell.type(block_of(page, words).text)

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
    shell = ClusterShell(cluster, tmp_path / "bin", tmp_path)
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
