"""The API server takes what `convert` makes of each ScaledObject of the corpus."""

from pathlib import Path

import pytest
from tests.support.controlplane import ApiServer
from tests.support.pages import ROOT

from queueworker_operator.cli import main

CORPUS = sorted((ROOT / "tests/unit/scaled_objects").glob("*.yaml"))


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.stem)
def test_it_can_be_applied_as_it_is(
    file: Path, crd: ApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", str(file)]) == 0
    made = capsys.readouterr().out

    for namespace in ("airflow", "shop", "media", "bi"):
        if namespace not in crd.kubectl("get", "namespaces", "-o", "name"):
            crd.kubectl("create", "namespace", namespace)
    told = crd.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=made)

    assert told.count("(server dry run)") == made.count("kind: QueueWorker")
