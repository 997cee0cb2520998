"""A reader who does what a page says: types its commands, writes its files, looks at what is shown."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo
from tests.support.pages import ROOT, Block, blocks

SHOWN_WITHIN_S = 30.0
# What libpq reads from the reader's environment and not from this process's.
BY_VARIABLE = {
    "PGHOST": "host",
    "PGPORT": "port",
    "PGSSLMODE": "sslmode",
    "PGSSLROOTCERT": "sslrootcert",
}


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
    """Give a pattern for a line: its words, whole and in order, where what varies may be anything."""
    words = [word for word in re.split(r"[\s.]{3,}|\s+", line.strip()) if word]
    known = (r"\S+" if VARIES.fullmatch(word) else re.escape(word) for word in words)
    return ".*".join(rf"(?<![\w/.]){word}(?![\w/]|\.\w)" for word in known)


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
    known = {word: environment[name] for name, word in BY_VARIABLE.items() if name in environment}
    with psycopg.connect(make_conninfo(dsn, **known), autocommit=True) as conn:
        cursor = conn.execute(text.encode())
        rows = cursor.fetchall() if cursor.description else []
    return "\n".join(" | ".join(map(str, row)) for row in rows)


def environment(dsn: str, home: Path) -> dict[str, str]:
    """Give what the first terminal knows where a database is there already."""
    path = f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(home), "QUEUEWORKER_DSN": dsn}


def runs(block: Block) -> bool:
    """Tell whether `follow` does what a block says."""
    if block.names_file or block.title in {"second terminal", "any client"}:
        return True
    return block.language == "bash" and not block.title


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
        for block, after in zip(todo, [*todo[1:], None], strict=True):
            shown = after is not None and (after.language, after.title) == ("text", "")
            expected = after.text if after is not None and shown else ""
            step(block, expected, terminal, folder, environment)
    finally:
        terminal.interrupt()


def step(
    block: Block, expected: str, terminal: Terminal, folder: Path, environment: dict[str, str]
) -> None:
    """Do what one block says; what it shows must hold what is expected."""
    text = block.text
    match block.language, block.title:
        case "text", "second terminal":
            terminal.wait_for(text)
        case _, "second terminal":
            terminal.run(text)
        case "sql", "any client":
            wait_for(lambda: query(text, folder, environment), text, expected)
        case "diff", name:
            edit(folder / name, text)
        case _, name if block.names_file:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        case "bash", "":
            wait_for(lambda: output_of(text, folder, environment), text, expected)
        case _:
            pass


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
