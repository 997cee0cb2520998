"""An image of one's own for the local cluster, as the page about installing builds it."""

import json
import re
import subprocess
import tarfile
from pathlib import Path

import pytest
from tests.support.pages import ROOT, block_of


@pytest.mark.tools
def test_a_folder_of_ones_own_becomes_an_image() -> None:
    [command] = re.findall(
        r"\((hack/images of [^)]+)\)", block_of("docs/howto/install.md", "hack/images of").text
    )
    typed = command.replace("FOLDER", "examples/mail").replace("NAME:TAG", "mail-worker:of-a-test")

    done = subprocess.run(
        typed.split(), cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )

    assert done.returncode == 0, done.stderr
    archive = Path(done.stdout.strip())
    with tarfile.open(archive) as packed:
        index = packed.extractfile("index.json")
        assert index is not None
        [image] = json.load(index)["manifests"]
    archive.unlink()
    name = image["annotations"]["org.opencontainers.image.ref.name"]
    assert name == "localhost/mail-worker:of-a-test"
