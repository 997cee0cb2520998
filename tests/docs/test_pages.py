"""What the pages tell a reader to do is done here: commands run, Python compiles, manifests are valid."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import pytest
import yaml

import queueworker

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")
SHOWN_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    page: Path
    language: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    return [
        Block(page=page, language=match[1], title=match[2] or "", text=match[3])
        for match in FENCE.finditer(page.read_text())
    ]


def every(language: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page) if block.language == language]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]

    assert missing == []


def test_python_blocks_compile() -> None:
    found = every("python")
    assert found
    for block in found:
        compile(block.text, f"{block.page.name}: {block.title}", "exec", flags=0x2000)


def test_every_make_target_that_a_page_names_exists() -> None:
    known = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    known |= set(re.findall(r"^([a-z0-9-]+):", (ROOT / "hack/hack.mk").read_text(), re.MULTILINE))
    named = {
        name for page in PAGES for name in re.findall(r"\bmake ([a-z][a-z0-9-]+)", page.read_text())
    } - {"tasks"}

    assert named - known == set()


def test_the_pages_made_from_the_code_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "hack/docs_commands.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr


def test_every_public_name_is_on_the_python_page() -> None:
    page = (ROOT / "docs/reference/python.md").read_text()
    names = [name for name in queueworker.__all__ if f"### {name}\n" not in page]

    assert len(queueworker.__all__) > 20
    assert [name for name in names if f"\n| `{name}` |" not in page] == []


def queue_workers() -> Iterator[tuple[Block, dict[str, object]]]:
    for block in every("yaml"):
        for manifest in yaml.safe_load_all(block.text):
            if isinstance(manifest, dict) and manifest.get("kind") == "QueueWorker":
                yield block, manifest


def test_queueworker_manifests_fit_the_resource_definition() -> None:
    definition = yaml.safe_load((ROOT / "crds/queueworkers.queueworker.dev.yaml").read_text())
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    found = list(queue_workers())
    assert found
    for block, manifest in found:
        try:
            jsonschema.validate(manifest, schema)
        except jsonschema.ValidationError as error:
            pytest.fail(f"{block.page.name}: {error.message}")
        unknown = set(manifest["spec"]) - set(schema["properties"]["spec"]["properties"])  # type: ignore[call-overload]
        assert unknown == set(), block.page.name


def shell(text: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run one block; what it exports is kept for the next."""
    script = f"set -euo pipefail\n[ ! -f .exports ] || . ./.exports\n{text}\nexport -p > .exports\n"
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def shows(expected: str, output: str) -> bool:
    """Tell whether each expected line's words stand in one line of the output, in order."""
    lines = [re.sub(r"\s+", " ", line) for line in output.splitlines()]
    for wanted in filter(None, (line.strip() for line in expected.splitlines())):
        pattern = ".*".join(re.escape(word) for word in re.split(r"[\s.]{3,}|\s+", wanted) if word)
        if not any(re.search(pattern, line) for line in lines):
            return False
    return True


def follow(page: Path, folder: Path, environment: dict[str, str]) -> None:
    """Do what the page says, from top to bottom."""
    todo = blocks(page)
    terminals: list[subprocess.Popen[bytes]] = []
    try:
        for index, block in enumerate(todo):
            after = todo[index + 1] if index + 1 < len(todo) else None
            if block.title == "second terminal":
                script = f". ./.exports\nexec {block.text}"
                terminals.append(
                    subprocess.Popen(["bash", "-c", script], cwd=folder, env=environment)
                )
            elif block.title:
                (folder / block.title).write_text(block.text)
            elif block.language == "bash":
                expect = after.text if after is not None and after.language == "text" else ""
                run_until_shown(block, expect, folder, environment)
    finally:
        for terminal in terminals:
            terminal.terminate()
            assert terminal.wait(30) == 0


def run_until_shown(block: Block, expect: str, folder: Path, environment: dict[str, str]) -> None:
    deadline = time.monotonic() + SHOWN_WITHIN_S
    while True:
        done = shell(block.text, folder, environment)
        assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
        if shows(expect, done.stdout):
            return
        assert time.monotonic() < deadline, f"{block.text}\nshows\n{done.stdout}\nnot\n{expect}"
        time.sleep(0.3)


def test_the_quickstart_works_to_the_letter(tmp_path: Path) -> None:
    path = f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"
    home = {key: os.environ[key] for key in ("HOME", "USER", "LANG") if key in os.environ}
    environment = {"PATH": path, "PYTHONPATH": str(tmp_path), **home}
    try:
        follow(ROOT / "docs/quickstart.md", tmp_path, environment)
    finally:
        shell("queueworker db stop --path pg || true", tmp_path, environment)
