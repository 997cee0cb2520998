"""What goes wrong at the start is one line with the remedy, an exit code, and no traceback."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.controlplane import ApiServer, run_api_server
from tests.support.ending import end
from tests.support.mail import Place
from tests.support.operator_process import (
    Operator,
    command,
    environment,
    grant,
    kubeconfig_of_account,
    run_to_its_end,
)
from tests.support.tools import ROOT
from tests.support.waiting import wait_until

CRD = ROOT / "crds" / "queueworkers.queueworker.dev.yaml"


def told(done: subprocess.CompletedProcess[str]) -> str:
    """Give the one line that a failed command must print as its last."""
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("queueworker-operator:")]
    assert len(lines) == 1
    return lines[0]


@pytest.fixture
def account(crd: ApiServer, namespace: str, tmp_path: Path) -> Path:
    grant(crd, namespace)
    return kubeconfig_of_account(crd, namespace, tmp_path)


def test_no_cluster_is_told(tmp_path: Path) -> None:
    line = told(run_to_its_end(tmp_path / "absent", "run", "--port", "0"))

    assert "set KUBECONFIG" in line


def test_a_kubeconfig_that_is_not_yaml_is_named(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text("{")

    line = told(run_to_its_end(tmp_path / "kubeconfig", "run", "--port", "0"))

    assert f"cannot read the kubeconfig {tmp_path}/kubeconfig" in line


def test_an_api_server_that_is_not_there_is_named(account: Path) -> None:
    text = account.read_text()
    url = text.split('server: "')[1].split('"')[0]
    account.write_text(text.replace(url, "https://127.0.0.1:9"))

    line = told(run_to_its_end(account, "run", "--port", "0"))

    assert "the Kubernetes API at https://127.0.0.1:9 does not answer" in line
    assert "check the address" in line


def test_a_token_that_is_refused_is_told(account: Path) -> None:
    text = account.read_text()
    token = text.split("token: ")[1].split("}")[0]
    account.write_text(text.replace(token, "worthless"))

    line = told(run_to_its_end(account, "run", "--port", "0"))

    assert "renew the token" in line
    assert token not in line


@pytest.mark.parametrize(
    ("resource", "verb"), [("queueworkers", "list"), ("deployments", "list"), ("pods", "list")]
)
def test_a_missing_right_names_verb_and_resource(
    crd: ApiServer, namespace: str, account: Path, resource: str, verb: str
) -> None:
    place = Place(server=crd, namespace=namespace)
    rules = place.get("role", "queueworker")["rules"]
    index = next(number for number, rule in enumerate(rules) if rule["resources"] == [resource])
    remove = f'[{{"op": "remove", "path": "/rules/{index}"}}]'
    place.kubectl("patch", "role", "queueworker", "--type=json", "-p", remove)

    line = told(run_to_its_end(account, "run", "--port", "0"))

    assert f"not allowed to {verb} {resource} in namespace {namespace} (" in line
    assert line.rstrip().endswith(
        ": grant it to the operator's service account (the chart's Role does)"
    )


def test_another_namespace_than_granted_is_told(account: Path) -> None:
    line = told(run_to_its_end(account, "run", "--port", "0", "--namespace", "kube-system"))

    assert "not allowed to list queueworkers in namespace kube-system (" in line


def test_a_port_in_use_is_told(account: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:  # noqa: S104 as the operator binds
        number = str(taken.getsockname()[1])
        line = told(run_to_its_end(account, "run", "--port", number))

    assert f"port {number} cannot be opened" in line
    assert "--port" in line


def test_a_port_that_is_none_is_told(account: Path) -> None:
    assert "give a port" in told(run_to_its_end(account, "run", "--port", "many"))


@pytest.fixture
def bare() -> Iterator[ApiServer]:
    with run_api_server() as server:
        yield server


@pytest.fixture
def waiting(bare: ApiServer, tmp_path: Path) -> Iterator[Operator]:
    """Run the operator in a cluster without the definition, until it says so."""
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            command("run", "--port", "0"), env=dict(environment(bare.kubeconfig)), stderr=log
        )
    operator = Operator(process=process, log=tmp_path / "log")
    try:
        await_line(operator, "waiting: the cluster does not know the kind QueueWorker: install")
        yield operator
    finally:
        end(process, 15)


def await_line(operator: Operator, words: str) -> None:
    wait_until(
        lambda: words in operator.log.read_text(), within_s=60, what=f"it says {words}", every_s=0.1
    )


def test_without_the_definition_the_operator_waits_until_a_signal(waiting: Operator) -> None:
    assert waiting.stop() == 0


def test_an_operator_goes_on_when_the_definition_is_installed(
    bare: ApiServer, waiting: Operator
) -> None:
    bare.define(CRD)

    await_line(waiting, "operator ready")
    assert waiting.get("/readyz")[0] == 200
