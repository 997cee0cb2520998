"""What the pages tell a reader to do is done here: commands run, Python compiles, manifests are valid."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import psycopg
import pytest
import yaml

import queueworker
from queueworker.cli.parser import build_parser as worker_parser
from queueworker_operator.cli import build_parser as operator_parser

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


def test_no_page_is_out_of_reach_of_the_readme_and_the_index() -> None:
    index = ROOT / "docs/README.md"
    reached, todo = set(), [ROOT / "README.md", index]
    while todo:
        page = todo.pop()
        reached.add(page)
        found = {(page.parent / link).resolve() for link in LINK.findall(page.read_text())}
        todo += [path for path in found if path.suffix == ".md" and path not in reached]
    linked = {(index.parent / link).resolve() for link in LINK.findall(index.read_text())}
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


# What differs from run to run: spans, times of day, ids of jobs, names of hosts and processes.
VARIES = re.compile(r"\d+(\.\d+)?(ms|s|m|h)(\d+s)?|\d{4}-\d\d-\d\d|\d\d:\d\d:\S+|HOST|\d{13,}")


def pattern_of(line: str) -> str:
    """Give a pattern for a line: its words, in order, where what varies may be anything."""
    words = re.split(r"[\s.]{3,}|\s+", line.strip())
    return ".*".join(
        r"\S+" if VARIES.fullmatch(word) else re.escape(word) for word in words if word
    )


def shows(expected: str, output: str) -> bool:
    """Tell whether each expected line's words stand in one line of the output, in order."""
    lines = [re.sub(r"\s+", " ", line) for line in output.splitlines()]
    patterns = [pattern_of(line) for line in expected.splitlines() if line.strip()]
    return all(any(re.search(pattern, line) for line in lines) for pattern in patterns)


class Terminal:
    """Another terminal of the reader's: a shell in the folder, with nothing set by the first one."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        # To a terminal Python writes line by line; to a file it would not.
        self._environment = environment | {"PYTHONUNBUFFERED": "1"}
        self._output = folder / "terminal.log"
        self._setup = ""
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, text: str) -> None:
        """Type a block; its last command goes on. One that runs from before gets Ctrl-C first."""
        self.interrupt()
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                ["bash", "-c", f"set -eu\n{self._setup}{text}"],
                cwd=self._folder,
                env=self._environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        *setup, _ = text.splitlines(keepends=True)
        self._setup += "".join(setup)

    def interrupt(self) -> None:
        """Press Ctrl-C, and wait for an orderly end."""
        if self._process is None:
            return
        os.killpg(self._process.pid, signal.SIGINT)
        assert self._process.wait(30) == 0, self._output.read_text()
        self._process = None

    def wait_for(self, expected: str) -> None:
        """Wait until it shows these lines."""
        deadline = time.monotonic() + SHOWN_WITHIN_S
        while not shows(expected, self._output.read_text()):
            assert time.monotonic() < deadline, f"{self._output.read_text()}\nlacks\n{expected}"
            time.sleep(0.1)


def edit(path: Path, difference: str) -> None:
    """Put the lines with a plus in the place of those with a minus."""
    old, new = (
        "".join(line[1:] for line in difference.splitlines(keepends=True) if line[0] == sign)
        for sign in "-+"
    )
    text = path.read_text()
    assert text.count(old) == 1, f"{path.name} does not have once:\n{old}"
    path.write_text(text.replace(old, new))


def query(text: str, folder: Path, environment: dict[str, str]) -> str:
    """Run SQL as a client of the database that the page has set up; give the rows as text."""
    dsn = shell('echo "$QUEUEWORKER_DSN"', folder, environment).stdout.strip()
    with psycopg.connect(dsn, autocommit=True) as conn:
        cursor = conn.execute(text.encode())
        rows = cursor.fetchall() if cursor.description else []
    return "\n".join(" | ".join(map(str, row)) for row in rows)


def follow(
    page: Path, folder: Path, environment: dict[str, str], elsewhere: dict[str, str] | None = None
) -> None:
    """Do what the page says, from top to bottom; `elsewhere` is what the second terminal knows.

    Untitled `bash` runs, and shows the untitled `text` that follows; `sh` is for the reader alone.
    A title names the file to write (or, with `diff`, to edit), or says where: "second terminal"
    (whose `text` is what it shows), "any client" (SQL, which shows its rows).
    """
    todo = blocks(page)
    terminal = Terminal(folder, elsewhere or environment)
    try:
        for index, block in enumerate(todo):
            after = todo[index + 1] if index + 1 < len(todo) else None
            shown = after is not None and (after.language, after.title) == ("text", "")
            expected = after.text if after is not None and shown else ""
            match block.language, block.title:
                case "text", "second terminal":
                    terminal.wait_for(block.text)
                case _, "second terminal":
                    terminal.run(block.text)
                case "sql", "any client":
                    text = block.text
                    wait_for(lambda t=text: query(t, folder, environment), text, expected)
                case "diff", name:
                    edit(folder / name, block.text)
                case _, name if name:
                    (folder / name).write_text(block.text)
                case "bash", _:
                    text = block.text
                    wait_for(lambda t=text: output_of(t, folder, environment), text, expected)
                case _:
                    pass
    finally:
        terminal.interrupt()


def output_of(text: str, folder: Path, environment: dict[str, str]) -> str:
    """Run a block, which must succeed."""
    done = shell(text, folder, environment)
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def wait_for(look: Callable[[], str], text: str, expected: str) -> None:
    """Do it until it shows what is expected; at least once."""
    deadline = time.monotonic() + SHOWN_WITHIN_S
    while not shows(expected, output := look()):
        assert time.monotonic() < deadline, f"{text}\nshows\n{output}\nnot\n{expected}"
        time.sleep(0.3)


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
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
