"""Commands of users, and what all their errors have in common."""

import subprocess
from pathlib import Path

from tests.support.postgres import CANARY
from tests.support.worker_process import run_command

Completed = subprocess.CompletedProcess[str]


def assert_one_line(done: Completed, *words: str) -> None:
    lines = done.stderr.splitlines()
    assert done.returncode == 1, done.stderr
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("queueworker: ")
    assert CANARY not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in lines[0]


def worker(dsn: str, *arguments: str, **extra: str) -> Completed:
    return run_command(dsn, "worker", "--queue", "mail", "--port", "0", *arguments, **extra)


def module(folder: Path, name: str, *lines: str) -> None:
    (folder / f"{name}.py").write_text("\n".join(lines) + "\n")
