"""Rivals' environments: pinned packages in a cache outside the repository, built once."""

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.errors import RivalUnavailable

BUILD_WITHIN_S = 600


def cache() -> Path:
    """Give the directory of environments and filled databases (BENCH_CACHE)."""
    path = os.environ.get("BENCH_CACHE", "") or Path.home() / ".cache" / "queueworker-bench"
    return Path(path)


def python_environment(name: str, packages: tuple[str, ...]) -> Path:
    """Give the interpreter of a virtual environment with these packages."""
    home = _home(name, packages)
    if not (home / ".complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home, with_pip=True)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        _build(name, [*pip, *packages], home)
    return home / "bin" / "python"


def node_environment(name: str, packages: tuple[str, ...]) -> Path:
    """Give a directory whose `node_modules` hold these packages."""
    home = _home(name, packages)
    if not (home / ".complete").exists():
        if shutil.which("npm") is None or shutil.which("node") is None:
            raise RivalUnavailable(
                f"{name} needs Node.js: install node and npm, or leave it out of --rivals"
            )
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        (home / "package.json").write_text('{"private": true}\n')
        npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--save-exact"]
        _build(name, [*npm, *packages], home)
    return home


def _home(name: str, packages: tuple[str, ...]) -> Path:
    seed = repr((packages, sys.version_info[:2])).encode()
    return cache() / f"{name}-{hashlib.sha256(seed).hexdigest()[:10]}"


def _build(name: str, command: list[str], home: Path) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=home,
            capture_output=True,
            text=True,
            timeout=BUILD_WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RivalUnavailable(
            f"installing {name} took over {BUILD_WITHIN_S} s; try again"
        ) from None
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise RivalUnavailable(
            f"{name} cannot be installed ({lines[-1] if lines else 'no message'}); is the package"
            " index reachable? Leave it out of --rivals to measure the others"
        )
    (home / ".complete").touch()
