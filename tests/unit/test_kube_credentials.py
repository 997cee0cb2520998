"""How the operator finds its cluster, and what it says when it cannot."""

import base64
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from queueworker_operator.errors import InvalidSettings
from queueworker_operator.kube import Credentials, find_credentials
from queueworker_operator.kube.login import log_in

SERVER = "https://192.0.2.1:6443"


def write(path: Path, *, cluster: dict[str, Any] | None = None, **user: Any) -> dict[str, str]:
    config = {
        "current-context": "here",
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}
        ],
        "clusters": [{"name": "c", "cluster": {"server": SERVER} | (cluster or {})}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(config))
    return {"KUBECONFIG": str(path)}


def test_a_token_and_its_namespace_are_read(tmp_path: Path) -> None:
    found = find_credentials(write(tmp_path / "config", token="abc"))

    assert (found.server, found.namespace, found.bearer()) == (SERVER, "shop", "abc")


def test_a_token_file_is_read_anew_each_time(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first\n")
    found = find_credentials(write(tmp_path / "config", tokenFile="token"))
    assert found.bearer() == "first"

    (tmp_path / "token").write_text("second\n")

    assert found.bearer() == "second"


def test_inline_certificates_are_decoded(tmp_path: Path) -> None:
    inline = base64.b64encode(b"PEM").decode()
    user = {"client-certificate-data": inline, "client-key-data": inline}
    environ = write(tmp_path / "config", cluster={"certificate-authority-data": inline}, **user)

    found = find_credentials(environ)

    assert (found.ca, found.certificate, found.private_key) == ("PEM", "PEM", "PEM")
    assert found.bearer() is None


def test_the_first_of_several_files_wins(tmp_path: Path) -> None:
    first = write(tmp_path / "a", token="first")["KUBECONFIG"]
    second = write(tmp_path / "b", token="second")["KUBECONFIG"]

    assert find_credentials({"KUBECONFIG": f"{first}:{second}"}).bearer() == "first"


def test_a_path_is_relative_to_the_file_that_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"client-certificate": "own.crt", "client-key": "own.key", "tokenFile": "token"}
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for name in ("ca.pem", *names.values()):
            (tmp_path / folder / name).write_text(f"{folder} {name}")
    (tmp_path / "a/config").write_text("current-context: here\n")
    write(tmp_path / "b/config", cluster={"certificate-authority": "ca.pem"}, **names)
    monkeypatch.chdir(tmp_path)

    found = find_credentials({"KUBECONFIG": "a/config:b/config"})

    assert (found.ca, found.certificate, found.private_key) == (
        "b ca.pem",
        "b own.crt",
        "b own.key",
    )
    assert found.bearer() == "b token"


def test_a_login_program_beside_a_kubeconfig_of_this_folder_is_not_looked_for_in_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = tmp_path / "log-in"
    login.write_text("""#!/bin/sh\necho '{"status": {"token": "told"}}'\n""")
    login.chmod(0o700)
    write(tmp_path / "config", exec={"command": "./log-in"})
    monkeypatch.chdir(tmp_path)

    assert find_credentials({"KUBECONFIG": "config"}, login=log_in).bearer() == "told"


def test_the_home_folders_config_is_the_last_resort(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    write(tmp_path / ".kube" / "config", token="home")

    assert find_credentials({"HOME": str(tmp_path)}).bearer() == "home"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("[", "is it YAML"),
        ("{}", "no current context"),
        ("current-context: x", "names a context 'x'"),
    ],
)
def test_a_damaged_kubeconfig_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "config").write_text(text)

    with pytest.raises(InvalidSettings, match=told):
        find_credentials({"KUBECONFIG": str(tmp_path / "config")})


def test_a_login_by_plugin_is_refused_with_the_remedy(tmp_path: Path) -> None:
    environ = write(tmp_path / "config", exec={"command": "aws"})

    with pytest.raises(InvalidSettings, match="use a token"):
        find_credentials(environ)


@pytest.mark.parametrize(
    ("told", "refused"),
    [
        ({"as-groups": ["ops"]}, "of nobody: name him in `as`"),
        ({"as": "jane\r\nImpersonate-Group: system:masters"}, "holds a line break"),
    ],
)
def test_what_cannot_be_acted_as_is_refused(
    tmp_path: Path, told: dict[str, Any], refused: str
) -> None:
    with pytest.raises(InvalidSettings, match=refused):
        find_credentials(write(tmp_path / "config", **told))


@pytest.mark.parametrize(
    ("url", "scheme"), [("socks5://me:secret@192.0.2.2", "socks5"), ("me:secret@192.0.2.2:80", "")]
)
def test_a_proxy_of_another_kind_is_refused_by_name_and_without_its_password(
    tmp_path: Path, url: str, scheme: str
) -> None:
    proxy = {"proxy-url": url}

    with pytest.raises(InvalidSettings, match=f"scheme '{scheme}', which is not supported") as told:
        find_credentials(write(tmp_path / "config", cluster=proxy))

    assert "secret" not in str(told.value)


def test_credentials_show_no_password_of_a_proxy(tmp_path: Path) -> None:
    proxy = {"proxy-url": "http://me:secret@192.0.2.2"}

    assert "secret" not in repr(find_credentials(write(tmp_path / "config", cluster=proxy)))


@pytest.mark.parametrize(
    ("cluster", "user", "refused"),
    [
        ({}, {"as": "jane"}, "acts as jane (as), which the operator cannot"),
        ({"tls-server-name": "api"}, {}, "tls-server-name, which the operator cannot check"),
    ],
)
def test_the_operator_refuses_what_its_watches_would_leave_out(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any], refused: str
) -> None:
    environ = write(tmp_path / "config", cluster=cluster, **user)

    done = subprocess.run(
        [sys.executable, "-m", "queueworker_operator", "run"],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert refused in done.stderr


def test_no_cluster_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="set KUBECONFIG"):
        find_credentials({"HOME": str(tmp_path)})


def test_a_missing_token_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="cannot read the token"):
        Credentials(server=SERVER, token_path=tmp_path / "absent").bearer()


def test_credentials_show_no_token() -> None:
    assert "abc" not in repr(Credentials(server=SERVER, token="abc", private_key="abc"))


@pytest.mark.parametrize(
    "text", ["\0\udcff", "current-context: c\ncontexts: [c]\n", "current-context: c\ncontexts: 3\n"]
)
def test_a_file_that_is_no_kubeconfig_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_bytes(text.encode(errors="surrogateescape"))

    with pytest.raises(InvalidSettings, match="kubeconfig"):
        find_credentials({"KUBECONFIG": str(tmp_path / "config")})


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials(server=SERVER, ca="garbage"),
        Credentials(server=SERVER, private_key="key", certificate="garbage"),
    ],
    ids=["ca", "certificate"],
)
def test_a_certificate_that_is_none_is_told_without_its_text(credentials: Credentials) -> None:
    with pytest.raises(InvalidSettings, match="no PEM") as told:
        credentials.ssl_context()

    assert "garbage" not in str(told.value)
