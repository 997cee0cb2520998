"""The built wheel works with the oldest versions of its dependencies that it says it supports."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
UV = str(Path(sys.executable).parent / "uv")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DIRECT = (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["operator"])
TASKS = """
from queueworker import App

app = App()


@app.task(queue="mail")
async def greet(name: str) -> None: ...
"""
IMPORT_ALL = """
import importlib, pkgutil, queueworker, queueworker_operator

for package in (queueworker, queueworker_operator):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""
pytestmark = pytest.mark.timeout(240)


def run(*command: str | Path, **extra: str) -> str:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | extra,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the programs of an environment with the wheel and the oldest direct dependencies."""
    folder = tmp_path_factory.mktemp("oldest")
    python, pins = folder / "bin/python", folder / "pins.txt"
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    run("hatchling", "build", "-t", "wheel", "-d", folder / "dist", PATH=_path())
    lowest = ("--resolution", "lowest-direct", "--python", python)
    run(UV, "pip", "compile", "pyproject.toml", "--extra", "operator", *lowest, "-o", pins)
    (wheel,) = (folder / "dist").glob("*.whl")
    install = (UV, "pip", "install", "--quiet", "--only-binary", ":all:", "--python", python)
    run(*install, "-r", pins, wheel)
    return python.parent


def _path() -> str:
    return f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def test_the_oldest_versions_are_those_that_the_package_names(oldest: Path) -> None:
    listed = run(UV, "pip", "freeze", "--python", oldest / "python").lower()
    installed = dict(re.findall(r"^([\w.-]+)==([\w.]+)", listed, re.MULTILINE))

    for bound in (one for one in DIRECT if ">=" in one):
        name, least = re.sub(r"\[.*\]", "", bound).split(">=")
        assert installed[name].startswith(least), f"{name} {installed[name]}, not {least}"


def test_a_worker_runs_a_job_with_the_oldest_versions(
    oldest: Path, empty_dsn: str, tmp_path: Path
) -> None:
    (tmp_path / "tasks.py").write_text(TASKS)
    here = {"QUEUEWORKER_DSN": empty_dsn, "PYTHONPATH": str(tmp_path)}
    queueworker = oldest / "queueworker"
    run(queueworker, "migrate", "--create-roles", **here)
    job = ("--queue", "mail", "--task", "greet", "--args", '{"name": "Ann"}')
    run(queueworker, "enqueue", *job, **here)
    serve: list[str | Path] = [
        queueworker,
        "worker",
        "--app",
        "tasks:app",
        "--queue",
        "mail",
        "--port",
        "0",
    ]
    worker = subprocess.Popen(serve, env=os.environ | here)
    try:
        wait_until(
            lambda: "succeeded" in run(queueworker, "stats", "--json", **here),
            within_s=30,
            what="the job is done",
        )
    finally:
        worker.terminate()

    assert worker.wait(15) == 0


def test_every_module_is_imported_and_a_trace_simulated_with_the_oldest_versions(
    oldest: Path,
) -> None:
    run(oldest / "python", "-c", IMPORT_ALL)
    trace = ("--trace", ROOT / "examples/demo/trace.csv", "--hours", "0.02", "--policy", "dbc")

    told = run(
        oldest / "queueworker-operator",
        "simulate",
        *trace,
        *("--manifest", ROOT / "examples/demo/worker.yaml"),
    )

    assert "dbc" in told
