"""The page about installing, typed block by block in its order: no other command is typed between them.

The pods of this cluster only pretend to run. What three of them would do is done here, with what the release
gives them: the migration, a worker, and the operator by its own account.
"""

import os
import re
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from tests.support.cluster_shell import ClusterShell
from tests.support.controlplane import ApiServer, run_api_server
from tests.support.ending import end
from tests.support.judge import judged_by_its_secrets
from tests.support.mail import Body, Place
from tests.support.operator_process import kubeconfig_of_account, running_operator
from tests.support.own_server import OwnServer
from tests.support.pages import NOT_RUN, ROOT, Block, block_of, blocks
from tests.support.postgres import with_database
from tests.support.waiting import wait_until

PAGE = "docs/howto/install.md"
# For who has no cluster, registry or helm of his own, or a release (tests/distribution compares its block).
ELSEWHERE = {
    "from a release",
    "without helm and kubectl",
    "as root on Debian 12",
    "in place of the images.yaml above",
    "your own image",
}
REGISTRY = "registry.example.org"
OWNER = "cloud_admin"


@pytest.fixture
def cluster() -> Iterator[ApiServer]:
    with run_api_server(fake_nodes=1) as server:
        yield server


@pytest.fixture
def database() -> Iterator[OwnServer]:
    """Give a server with an empty database `shop`, whose owner may create roles and no more."""
    server = OwnServer(Path(f"/tmp/qw-install-{os.getpid()}"))  # noqa: S108 - short, for the socket
    try:
        server.start().execute(
            f"CREATE ROLE {OWNER} LOGIN CREATEROLE", f"CREATE DATABASE shop OWNER {OWNER}"
        )
        yield server
    finally:
        server.remove()


class Reader:
    """Someone with a cluster, a registry and a database, who types the page from the top."""

    def __init__(self, cluster: ApiServer, database: OwnServer, folder: Path) -> None:
        (folder / "bin").mkdir()
        (folder / "charts").symlink_to(ROOT / "charts")
        (folder / "crds").symlink_to(ROOT / "crds")
        shutil.copytree(ROOT / "examples", folder / "examples")  # the page changes it
        self._folder = folder
        self._owners_dsn = with_database(f"host={database.host}", "shop", user=OWNER)
        self._shell = ClusterShell(cluster, folder / "bin", folder)
        self._names = {
            "YOUR-REGISTRY": REGISTRY,
            "OWNER:": f"{OWNER}:",
            "HOST/DATABASE": f"{quote(database.host, safe='')}/shop",
        }
        self.todo = [
            block
            for block in blocks(ROOT / PAGE)
            if block.title not in ELSEWHERE and NOT_RUN not in block.title
        ]

    def filled(self, text: str) -> str:
        """Put his own names in the place of those that the page leaves to him."""
        for name, own in self._names.items():
            text = text.replace(name, own)
        return text

    def type_until(self, words: str, *, then: str = "") -> str:
        """Type the next blocks, the last of them the one with these words, and `then` after it."""
        while True:
            block = self.todo.pop(0)
            is_last = words in block.text
            shown = self._type(block, self.filled(block.text) + (then if is_last else ""))
            if is_last:
                return shown

    def _type(self, block: Block, text: str) -> str:
        match block.language, block.title:
            case "yaml", name:
                (self._folder / name).write_text(text)
            case "sql", "any client":
                with psycopg.connect(self._owners_dsn) as conn:
                    conn.execute(text.encode())
            case "sh", "demo":
                # The rest waits for what pods do: tests/e2e/test_the_demo_scales.py types all of it.
                return self._shell.type(text.splitlines()[0])
            case "sh", _:
                return self._shell.type(text)
            case _:
                raise AssertionError(block)
        return ""


def process_of(place: Place, component: str) -> tuple[list[str], dict[str, str]]:
    """Give what the container of a pod runs, and its environment, as a node would."""
    pod = wait_until(
        lambda: place.kubectl("get", "pods", "-l", component, "-o", "name").strip(),
        within_s=15,
        what=f"a pod of {component}",
    )
    body = place.get("pod", pod.removeprefix("pod/"))
    [container] = body["spec"]["containers"]
    program, *arguments = container["command"]
    variables = {entry["name"]: value_of(place, body, entry) for entry in container["env"]}
    return [str(ROOT / ".venv/bin" / program), *arguments], variables


def value_of(place: Place, pod: Body, entry: Body) -> str:
    """Give a variable's value: written out, of a Secret's key, or of a field of the pod."""
    match entry.get("valueFrom"):
        case {"secretKeyRef": {"name": name, "key": key}}:
            return b64decode(place.get("secret", name)["data"][key]).decode()
        case {"fieldRef": {"fieldPath": path}}:
            section, _, field = path.partition(".")
            return str(pod[section][field])
        case _:
            return str(entry["value"])


@contextmanager
def running_worker(place: Place) -> Iterator[None]:
    """Run the worker of the Deployment's pod, with the example's tasks."""
    command, variables = process_of(place, "app=mail-worker")
    process = subprocess.Popen([*command, "--port", "0"], cwd=ROOT / "examples/mail", env=variables)
    try:
        yield
    finally:
        end(process, 20)
        assert process.returncode == 0


def images(place: Place) -> set[str]:
    """Give the images of all that runs in a namespace."""
    path = "jsonpath={.items[*].spec.template.spec.containers[*].image}"
    return set(place.kubectl("get", "deployments,jobs", "-o", path).split())


def test_the_page_about_installing_works_to_the_letter(
    cluster: ApiServer, database: OwnServer, tmp_path: Path
) -> None:
    reader = Reader(cluster, database, tmp_path)
    place = Place(server=cluster, namespace="mail")
    built = block_of(PAGE, "docker build -f worker").text
    pushed = set(re.findall(r"docker push (\S+)", reader.filled(built)))

    demo = reader.type_until("base64 -d", then='echo "$QUEUEWORKER_DSN"')
    assert re.fullmatch(r"postgresql://\w+:\w+@localhost:15432/postgres\n", demo)
    reader.type_until("helm install queueworker charts/queueworker --namespace mail")
    migrate, variables = process_of(place, "app.kubernetes.io/component=migrate")
    subprocess.run(migrate, env=variables, check=True)
    account = kubeconfig_of_account(cluster, "mail", tmp_path)
    with (
        judged_by_its_secrets(place) as judge,
        running_operator(judge, account, tmp_path / "operator.log"),
    ):
        reader.type_until("kubectl apply --namespace mail -f examples/mail/")
        with running_worker(place):
            met = reader.type_until("kubectl wait queueworker/mail")
            assert "queueworker.queueworker.dev/mail condition met" in met
            reader.type_until("generate_series(1, 2000)")
            wait_until(lambda: place.replicas() > 1, within_s=15, what="the workers are scaled out")
            assert "mail" in reader.type_until("set-context")
    assert images(place) == pushed

    reader.type_until("helm upgrade")
    assert images(place) == pushed
    assert "uninstalled" in reader.type_until("helm uninstall queueworker --namespace mail")

    assert reader.todo == []
    # What the page says of uninstalling: the QueueWorker stays, and the workers at their replicas.
    assert place.get("queueworker", "mail")["spec"]["queues"] == ["mail"]
    assert place.replicas() > 1
