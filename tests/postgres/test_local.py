"""One-machine mode, run as a person runs it: the command, its exit code, what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples/demo"
COMMAND = Path(sys.executable).with_name("queueworker-operator")
DEADLINE_S = 90.0
CANARY = "canary-7f3a-secret"

pytestmark = pytest.mark.postgres


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder that Postgres' own user may pass through, also when the tests run as root."""
    with tempfile.TemporaryDirectory(prefix="queueworker-test-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as the demo's, whose trace is 40 jobs in two bursts."""
    folder = tmp_path / "app"
    folder.mkdir()
    for name in ("worker.yaml", "tasks.py", "ledger.sql"):
        (folder / name).write_text((DEMO / name).read_text())
    write_trace(folder, [0.02 * index for index in range(20)] + [3.0] * 20, tokens=10)
    (folder / "replay.toml").write_text('trace = "trace.csv"\ntask = "generate"\n')
    return folder


def write_trace(folder: Path, times_s: list[float], *, tokens: int) -> None:
    rows = "".join(f"{at_s},1,{tokens}\n" for at_s in times_s)
    (folder / "trace.csv").write_text(f"t_s,arrivals,generated_tokens\n{rows}")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command; all its temporary files are below the test's folder."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    temporary.chmod(0o711)
    started: list[subprocess.Popen[str]] = []

    def begin(*words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [COMMAND, "local", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(temporary)},
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=DEADLINE_S)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    output, complaint = process.communicate(timeout=DEADLINE_S)
    return process.returncode, output, complaint


def processes_below(folder: Path) -> list[int]:
    """List processes that work below `folder`: workers by their own, Postgres by its data."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(folder) in str((entry / "cwd").readlink()):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def wait_until(condition: Callable[[], Any]) -> Any:
    deadline_s = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    return found


def workers_of(folder: Path) -> list[int]:
    return processes_below(folder / "app")


def jobs_started(folder: Path) -> int:
    """Ask the running database's ledger, by the worker half's own word for its address."""
    (database,) = folder.glob("tmp/queueworker-local-*/db")
    command: list[str | Path] = [
        COMMAND.with_name("queueworker"),
        "db",
        "dsn",
        "--path",
        str(database),
    ]
    environment = {**os.environ, "TMPDIR": str(folder / "tmp")}
    dsn = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    with psycopg.connect(dsn.stdout.strip()) as connection:
        (count,) = connection.execute("SELECT count(*) FROM ledger").fetchone() or (0,)
    return int(count)


def test_a_trace_is_replayed_and_every_job_runs_exactly_once(
    folder: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    result, plot = tmp_path / "out.json", tmp_path / "out.svg"
    process = start(str(folder), "--json", str(result), "--plot", str(plot))
    wait_until(lambda: workers_of(tmp_path))
    wait_until(lambda: jobs_started(tmp_path) == 40)

    process.send_signal(signal.SIGTERM)
    code, output, complaint = finish(process)

    assert code == 0, output + complaint
    assert "40 jobs, each run exactly once" in output
    summary = json.loads(result.read_text())
    assert (summary["jobs"], summary["completed_once"]) == (40, 40)
    assert (summary["lost"], summary["run_twice"]) == (0, 0)
    assert 1 <= summary["max_workers"] <= 8
    assert summary["scale_events"] == len(summary["events"]) >= 1
    assert (summary["events"][0]["before"], summary["events"][0]["reason"]) == (0, "FirstJob")
    assert plot.read_text().startswith("<svg")
    assert processes_below(tmp_path) == []
    # Binaries that only root may read are copied once, for all servers to come.
    kept = set((tmp_path / "tmp").glob("queueworker-postgres-*"))
    assert set((tmp_path / "tmp").iterdir()) - kept == set()


def test_ctrl_c_drains_the_workers_and_leaves_nothing_running(
    folder: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    write_trace(folder, [0.1 * index for index in range(600)], tokens=50)
    result = tmp_path / "out.json"
    process = start(str(folder), "--exit-when-done", "--json", str(result))
    wait_until(lambda: workers_of(tmp_path))
    wait_until(lambda: jobs_started(tmp_path) > 5)

    process.send_signal(signal.SIGINT)
    code, output, complaint = finish(process)

    assert code == 1, output + complaint
    assert "Interrupted" in output
    summary = json.loads(result.read_text())
    assert summary["interrupted"] is True
    assert (summary["lost"], summary["run_twice"]) == (0, 0)
    assert summary["completed_once"] + summary["unfinished"] == summary["jobs"]
    assert "Traceback" not in output + complaint
    assert processes_below(tmp_path) == []


def test_the_jobs_of_a_killed_worker_run_again(
    folder: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    manifest = folder / "worker.yaml"
    text = manifest.read_text().replace("minReplicas: 0", "minReplicas: 1")
    manifest.write_text(text.replace("maxReplicas: 8", "maxReplicas: 1"))
    write_trace(folder, [0.1 * index for index in range(60)], tokens=40)
    result = tmp_path / "out.json"
    process = start(str(folder), "--exit-when-done", "--json", str(result))
    victim = wait_until(lambda: workers_of(tmp_path))[0]
    wait_until(lambda: jobs_started(tmp_path) > 5)

    os.kill(victim, signal.SIGKILL)
    _, output, complaint = finish(process)

    summary = json.loads(result.read_text())
    assert (summary["jobs"], summary["lost"], summary["unfinished"]) == (60, 0, 0)
    assert "exited with -9" in output + complaint
    assert processes_below(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["nowhere"], "nowhere is not a folder"),
        (["{folder}", "--json", "{folder}/no/out.json"], "cannot be written: create"),
        (["{folder}", "--trace", "{folder}/none.csv"], "none.csv cannot be read"),
        (["{folder}", "--time-scale", "0"], "give a number above 0"),
        (["{folder}", "--dsn", f"postgresql://u:{CANARY}@127.0.0.1:1/x"], "127.0.0.1"),
    ],
)
def test_what_cannot_be_run_is_said_in_one_line(
    folder: Path,
    tmp_path: Path,
    start: Callable[..., subprocess.Popen[str]],
    words: list[str],
    expected: str,
) -> None:
    code, output, complaint = finish(start(*(word.format(folder=folder) for word in words)))

    assert code != 0
    assert expected in complaint
    assert len(complaint.strip().splitlines()) == 1
    assert "Traceback" not in output + complaint
    assert CANARY not in output + complaint
    assert processes_below(tmp_path) == []


def test_a_command_that_is_missing_is_said_before_anything_starts(
    folder: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    manifest = folder / "worker.yaml"
    manifest.write_text(manifest.read_text().replace("[queueworker,", "[no-such-command,"))

    code, output, complaint = finish(start(str(folder)))

    assert code == 1
    assert "runs no-such-command, which is not on this machine" in complaint
    assert "starting Postgres" not in output
    assert processes_below(tmp_path) == []
