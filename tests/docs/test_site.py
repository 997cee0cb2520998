"""The documentation as a site: it builds without a warning, and nothing of it is fetched from elsewhere."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from tests.support.pages import ROOT

MKDOCS = ROOT / ".venv/bin/mkdocs"
FETCHED = re.compile(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"(https?:[^\"]*)\"")


def build(target: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MKDOCS, "build", "--strict", "--site-dir", target, *more],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    done = build(target)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return target


def test_the_site_builds_strictly_and_has_every_page(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs") for path in ROOT.glob("docs/**/*.md")}
    made = {path.relative_to(site) for path in site.rglob("*.html")}

    expected = {
        (page.with_name("index.html") if page.name == "README.md" else page.with_suffix(".html"))
        for page in pages
    }
    assert expected <= made


def test_files_of_the_tree_that_pages_link_to_are_beside_them(site: Path) -> None:
    text = (site / "howto/install.html").read_text()
    (link,) = re.findall(r'href="([^"]*mail/Dockerfile[^"]*)"', text)
    copy = (site / "howto" / link).read_text()

    assert copy == (ROOT / "examples/mail/Dockerfile").read_text()


def test_a_page_of_the_site_fetches_nothing_from_elsewhere(site: Path) -> None:
    fetched = {
        address
        for path in site.rglob("*.html")
        for address in FETCHED.findall(path.read_text())
        if 'rel="canonical"' not in address
    }

    assert fetched == set()
