"""`kubectl queueworker` reads a kubeconfig as kubectl does: as whom it acts, and by which way."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from tests.support.connect_proxy import connect_proxy
from tests.support.controlplane import ApiServer
from tests.support.mail import Place, queue_worker
from tests.support.tools import tool_path

from queueworker_operator.kube import Client, find_credentials
from queueworker_operator.kube.client import Call
from queueworker_operator.plugin import main

Output = pytest.CaptureFixture[str]
REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}


@pytest.fixture
def place(crd: ApiServer, namespace: str) -> Place:
    return Place(server=crd, namespace=namespace)


def kubeconfig(
    place: Place,
    folder: Path,
    *,
    user: dict[str, Any] | None = None,
    cluster: dict[str, Any] | None = None,
) -> Path:
    """Write the administrator's, with more told of its user or its cluster."""
    config = yaml.safe_load(place.server.kubeconfig.read_text())
    config["users"][0]["user"] |= user or {}
    config["clusters"][0]["cluster"] |= cluster or {}
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def kubectl(path: Path, *words: str) -> str:
    asked: list[str | Path] = [tool_path("kubectl"), f"--kubeconfig={path}", *words]
    return subprocess.run(asked, check=True, capture_output=True, text=True, timeout=60).stdout


def run(place: Place, path: Path, *words: str) -> int:
    return main([*words, "--kubeconfig", str(path), "-n", place.namespace])


def test_who_acts_as_another_may_only_what_that_one_may(
    place: Place, tmp_path: Path, capsys: Output
) -> None:
    place.apply(queue_worker())
    jane = kubeconfig(place, tmp_path, user={"as": "jane"})

    assert run(place, jane, "pause", "mail") == 1
    assert "not allowed to get queueworkers" in capsys.readouterr().err
    assert place.get("queueworker", "mail")["spec"]["mode"] == "Auto"
    privileged = {"as": "jane", "as-groups": ["ops", "system:masters"]}
    assert run(place, kubeconfig(place, tmp_path, user=privileged), "pause", "mail") == 0
    assert place.get("queueworker", "mail")["spec"]["mode"] == "Paused"


def test_the_api_server_sees_the_same_user_as_from_kubectl(place: Place, tmp_path: Path) -> None:
    jane = {
        "as": "jané",
        "as-uid": "7",
        "as-groups": ["ops", "night shift"],
        "as-user-extra": {"example.com/100%": ["a ticket", "another"], "Why": ["Test"]},
    }
    path = kubeconfig(place, tmp_path, user=jane)

    async def seen() -> dict[str, Any]:
        async with Client(find_credentials({"KUBECONFIG": str(path)})) as client:
            address = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
            call = Call(method="POST", path=address, verb="create", what="review", body=REVIEW)
            return await client.send(call)

    told = kubectl(path, "auth", "whoami", "-o", "json")
    user = asyncio.run(seen())["status"]["userInfo"]
    assert user == json.loads(told)["status"]["userInfo"]
    assert (user["username"], user["uid"]) == ("jané", "7")
    assert set(user["groups"]) > {"ops", "night shift"}
    assert user["extra"]["example.com/100%"] == ["a ticket", "another"]


def test_a_proxy_is_the_way_and_the_certificate_is_asked_for_the_name_that_is_told(
    place: Place, tmp_path: Path, capsys: Output
) -> None:
    """Only the proxy knows where `api.invalid` is, and no certificate bears that name."""
    port = urlsplit(place.server.url).port or 0
    with connect_proxy(port) as proxy:
        way = {"server": f"https://api.invalid:{port}", "proxy-url": proxy.url}
        right = kubeconfig(place, tmp_path, cluster=way | {"tls-server-name": "kubernetes"})
        assert "default" in kubectl(right, "get", "namespaces")
        by_kubectl = len(proxy.asked)
        assert run(place, right, "get") == 0
        assert "No QueueWorker in namespace" in capsys.readouterr().out
        assert len(proxy.asked) > by_kubectl
        assert set(proxy.asked) == {f"api.invalid:{port}"}

        assert run(place, kubeconfig(place, tmp_path, cluster=way), "get") == 1
        assert "(ClientConnectorCertificateError)" in capsys.readouterr().err


def test_a_certificate_of_another_name_than_the_one_told_is_refused(
    place: Place, tmp_path: Path, capsys: Output
) -> None:
    other = kubeconfig(place, tmp_path, cluster={"tls-server-name": "another.example"})

    assert run(place, other, "get") == 1
    assert "(ClientConnectorCertificateError)" in capsys.readouterr().err


def test_the_place_may_stand_before_the_command_as_after_it(
    place: Place, tmp_path: Path, capsys: Output
) -> None:
    def told(*words: str) -> str:
        assert main(list(words)) == 0
        return capsys.readouterr().out

    own = str(kubeconfig(place, tmp_path))
    here = f"No QueueWorker in namespace {place.namespace}.\n"
    before = ("--kubeconfig", own, "--context", "test", "-n", place.namespace)
    assert told(*before, "get") == here
    assert told("-n", place.namespace, "get", "--kubeconfig", own) == here
    assert told("-n", "other", "--kubeconfig", own, "get", "-n", place.namespace) == here
    assert main([*before, "--context", "away", "get"]) == 2
    assert "'away' that it does not hold" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("--help",), ("get", "--help")])
def test_the_help_has_the_place_at_both(words: tuple[str, ...], capsys: Output) -> None:
    with pytest.raises(SystemExit):
        main(words)

    text = capsys.readouterr().out
    assert "-n NS, --namespace NS" in text
    assert "--kubeconfig FILE" in text
    assert "SUPPRESS" not in text
