"""TAB after `kubectl queueworker`: kubectl itself asks our program."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.controlplane import ApiServer
from tests.support.mail import Place, pod, queue_worker
from tests.support.tools import tool_path

RUN = "import sys; from queueworker_operator.__main__ import {0}; sys.exit({0}())"


@pytest.fixture
def place(crd: ApiServer, namespace: str) -> Place:
    place = Place(server=crd, namespace=namespace)
    place.apply(queue_worker(), queue_worker("reports"))
    place.add_pod(pod("mail-worker-a"))
    return place


def completed(place: Place, folder: Path, *words: str) -> list[str]:
    """Give the candidates and, last, the directive."""
    for name, run in (
        ("kubectl-queueworker", "kubectl"),
        ("kubectl_complete-queueworker", "complete"),
    ):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{RUN.format(run)}" "$@"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    done = subprocess.run(
        [str(tool_path("kubectl")), "__complete", "queueworker", *words],
        env={
            **os.environ,
            "PATH": f"{folder}:/usr/bin:/bin",
            "KUBECONFIG": str(place.server.kubeconfig),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [line.partition("\t")[0] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["re"], ["resume", ":4"]),
        (["get", "--wat"], ["--watch", ":4"]),
        (["doctor", "-o", ""], ["table", "json", "yaml", ":4"]),
        (["-n", "here", "re"], ["resume", ":4"]),
        (["--names"], ["--namespace", ":4"]),
        (["--kubeconfig", ""], [":0"]),
        (["simulate", "mail", "--trace", ""], [":0"]),
    ],
)
def test_commands_flags_values_and_files_are_completed(
    place: Place, tmp_path: Path, words: list[str], expected: list[str]
) -> None:
    assert completed(place, tmp_path, *words) == expected


def test_names_come_from_the_cluster(place: Place, tmp_path: Path) -> None:
    where = ("-n", place.namespace)

    assert completed(place, tmp_path, "why", *where, "") == ["mail", "reports", ":4"]
    assert completed(place, tmp_path, "why", *where, "rep") == ["reports", ":4"]
    assert completed(place, tmp_path, *where, "why", "rep") == ["reports", ":4"]
    assert completed(place, tmp_path, "drain", *where, "") == ["mail-worker-a", ":4"]


def test_a_cluster_that_is_away_has_no_names_and_no_error(place: Place, tmp_path: Path) -> None:
    nowhere = ("--kubeconfig", str(tmp_path / "none"))

    assert completed(place, tmp_path, "why", *nowhere, "") == [":4"]
