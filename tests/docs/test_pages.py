"""What the pages tell a reader to do is done here: commands run, Python compiles, manifests are valid."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import yaml
from tests.support.pages import PAGES, ROOT, Block, block_of, code, every, links
from tests.support.reader import follow, shell

import queueworker
from queueworker.cli.parser import build_parser as worker_parser
from queueworker.cli.stats_table import CELLS
from queueworker_operator.cli import build_parser as operator_parser


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    missing = [link for link in links(page) if not (page.parent / link).exists()]

    assert missing == []


def test_no_page_is_out_of_reach_of_the_readme_and_the_index() -> None:
    index = ROOT / "docs/README.md"
    reached, todo = set(), [ROOT / "README.md", index]
    while todo:
        page = todo.pop()
        reached.add(page)
        found = {(page.parent / link).resolve() for link in links(page)}
        todo += [path for path in found if path.suffix == ".md" and path not in reached]
    linked = {(index.parent / link).resolve() for link in links(index)}
    pages = set(ROOT.glob("docs/**/*.md"))

    assert pages - reached == set()
    # The index has them all in one step, but for the single decisions and runbooks.
    single = {*ROOT.glob("docs/decisions/0*.md"), *ROOT.glob("docs/runbooks/Q*.md")}
    assert pages - linked - single == {index}


def anchors(page: Path) -> set[str]:
    """Give what GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_into_a_page_lead_to_one_of_its_headings(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)\)", page.read_text())
    targets = [((page.parent / name).resolve() if name else page, anchor) for name, anchor in links]

    assert [anchor for target, anchor in targets if anchor not in anchors(target)] == []


def test_tables_of_stats_have_the_columns_that_are_printed() -> None:
    columns = [name for name in CELLS if name != "STATE"]  # left out where nothing has one
    shown = [
        (block.page.name, re.split(r"\s{2,}", line.strip()))
        for block in every("text")
        for line in block.text.splitlines()
        if re.match(r"QUEUE +READY", line)
    ]

    assert len(shown) >= 3
    assert [(page, found) for page, found in shown if found != columns] == []


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Give each call of our commands in a shell block: the page, and its words."""
    for block in [*every("sh"), *every("bash")]:
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            for at, word in enumerate(words):
                if word in {"queueworker", "queueworker-operator"} and not SETS.intersection(words):
                    rest = words[at:]
                    ends = [i for i, part in enumerate(rest) if part in {"|", "||", "&&", "<", ">"}]
                    yield block.page.name, rest[: ends[0] if ends else None]


SETS = {"helm", "docker", "kubectl", "systemctl"}


def test_every_command_line_on_a_page_is_understood() -> None:
    parsers = {"queueworker": worker_parser(), "queueworker-operator": operator_parser()}
    found = [(page, words) for page, words in command_lines() if len(words) > 1]

    assert len(found) > 40
    for page, words in found:
        # A placeholder stands for a number.
        arguments = ["1" if word == "ID" else word for word in words[1:]]
        try:
            parsers[words[0]].parse_args(arguments)
        except SystemExit:
            pytest.fail(f"{page}: {shlex.join(words)}")


def test_python_blocks_compile() -> None:
    found = every("python")
    assert found
    for block in found:
        compile(block.text, f"{block.page.name}: {block.title}", "exec", flags=0x2000)


def test_every_make_target_that_a_page_names_exists() -> None:
    known = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    known |= set(re.findall(r"^([a-z0-9-]+):", (ROOT / "hack/hack.mk").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"\bmake ([a-z][a-z0-9-]+)", code(page))}

    assert len(named) > 10
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


FIRST_PAGES = ["README.md", "docs/quickstart.md"]


@pytest.mark.parametrize("page", FIRST_PAGES)
def test_a_first_page_works_to_the_letter(page: str, tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    path = f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"
    home = {key: os.environ[key] for key in ("HOME", "USER", "LANG") if key in os.environ}
    environment = {"PATH": path, **home}
    try:
        # The second terminal has the reader's own PATH, and nothing of the first one.
        elsewhere = environment | {"PATH": os.defpath}
        follow(ROOT / page, tmp_path, environment, elsewhere)
    finally:
        shell("queueworker db stop --path pg || true", tmp_path, environment)


def test_the_readmes_demo_is_the_one_that_the_page_about_installing_explains() -> None:
    """The end-to-end tests type these commands in a real cluster, and see it scale."""
    readme = block_of("README.md", "helm install")
    page = block_of("docs/howto/install.md", "demo.enabled=true")

    assert readme.text == page.text


def test_the_readme_names_the_systems_that_the_benchmarks_run() -> None:
    """The systems that the README names beside the benchmarks are those that `make bench` runs."""
    (named,) = re.findall(
        r"How it is measured beside ([^:]*?), and the commands", (ROOT / "README.md").read_text()
    )
    (rivals,) = re.findall(r"^RIVALS \?= (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    titles = {
        "pgqueuer": "PGQueuer",
        "graphile": "Graphile Worker",
        "procrastinate": "Procrastinate",
    }
    titles["pgboss"] = "pg-boss"

    assert set(re.split(r", | and ", named)) == {titles[name] for name in rivals.split(",")}
