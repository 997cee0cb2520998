"""The harness in small: no rival, few jobs, the real server and the real worker."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.command import main
from benchmarks.journal import Journal
from benchmarks.scenarios import lag

from queueworker import embedded

pytestmark = pytest.mark.postgres
PROMISED = {"system", "processes", "jobs_per_s", "client_cpu_us", "server_cpu_us", "wal_bytes"}


def test_a_drain_writes_the_promised_keys(tmp_path: Path) -> None:
    out = tmp_path / "drain.json"

    status = main(
        ["drain", "--json", str(out), "--processes", "1", "--repeats", "2", "--jobs", "300"]
    )

    result = json.loads(out.read_text())
    (row,) = result["rows"]
    assert status == 0
    assert result["scenario"] == "drain"
    assert 0 <= result["foreign_load"] <= 1
    assert row.keys() >= PROMISED
    assert (row["system"], row["processes"]) == ("queueworker", 1)
    assert len(row["jobs_per_s"]) == 2
    assert min(row["jobs_per_s"]) > 0
    assert row["wal_bytes"] > 100
    assert not out.with_name("drain.json.partial").exists()


def test_an_enqueue_is_measured_beside_a_raw_insert(tmp_path: Path) -> None:
    out = tmp_path / "enqueue.json"

    status = main(["enqueue", "--json", str(out), "--repeats", "1", "--jobs", "40"])

    result = json.loads(out.read_text())
    found = {(row["system"], row["variant"]) for row in result["rows"]}
    assert status == 0
    assert {
        ("queueworker", "single"),
        ("raw INSERT", "single"),
        ("raw INSERT", "COPY of 10,000"),
    } <= found
    assert all(row["jobs_per_s"][0] > 0 for row in result["rows"])


def test_pickup_is_measured_idle_and_under_half_load(tmp_path: Path) -> None:
    out = tmp_path / "latency.json"

    status = main(["latency", "--json", str(out), "--repeats", "1", "--duration", "1"])

    rows = json.loads(out.read_text())["rows"]
    assert status == 0
    assert [row["variant"] for row in rows] == ["idle", "half load"]
    assert all(0 < row["median"]["p50_ms"] <= row["median"]["p99_ms"] for row in rows)
    assert rows[1]["median"]["stream_per_s"] > 0


def rows_of(tmp_path: Path, *arguments: str) -> list[dict[str, Any]]:
    out = tmp_path / "result.json"
    assert main([*arguments, "--json", str(out), "--repeats", "1"]) == 0
    rows: list[dict[str, Any]] = json.loads(out.read_text())["rows"]
    return rows


def test_both_sides_of_a_held_snapshot_are_measured_at_each_mark(tmp_path: Path) -> None:
    limits = ("--duration", "2", "--jobs", "200", "--rate", "50", "--processes", "1")

    rows = rows_of(tmp_path, "snapshot", *limits)

    assert [row["variant"] for row in rows] == ["snapshot", "writer", "enqueue"]
    for row in rows:
        (run,) = row["runs"]
        assert [mark["at_s"] for mark in run["series"]] == [0, 0, 0, 1, 2, 2]
        assert min(min(mark["held"], mark["control"]) for mark in run["series"]) > 0
        assert run["stragglers"] > 0


def test_rolling_restarts_are_judged_by_the_databases_own_record(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, "restarts", "--size", "2", "--processes", "2", "--rate", "50")

    (run,) = row["runs"]
    assert run["restarts"] == 2
    assert run["jobs"] > 0
    assert (run["lost"], run["failed"], run["bad_exits"]) == (0, 0, 0)


def test_a_workers_memory_and_the_import_are_measured(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, "memory", "--jobs", "100")

    (run,) = row["runs"]
    assert run["rss_mb"] > 10
    assert run["import_ms"] > 1
    assert "psycopg" in run["dependencies"]


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep filled servers for the length of a test."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    yield
    for path in (tmp_path / "cache").glob("filled-*"):
        if path.is_dir():
            embedded.remove(path)


@pytest.mark.usefixtures("cached")
def test_claims_are_timed_beside_three_kinds_of_backlog(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, "flat", "--size", "3000", "--jobs", "5")

    assert [row["variant"] for row in rows] == [
        "3,000 ready",
        "3,000 scheduled",
        "3,000 of another queue",
    ]
    assert all(row["median"]["p99_ms"] > 0 for row in rows)
    assert all(row["median"]["pages"] > 100 for row in rows)
    assert all(row["median"]["empty_pages"] > 100 for row in rows)
    assert all(row["median"]["p50_ratio"] > 0 for row in rows)


@pytest.mark.usefixtures("cached")
def test_lag_reads_are_timed_and_compared_with_an_exact_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("QUEUES", 10), ("ACTIVE", (2,)), ("WORKERS", 5), ("LEAST_READS", 5)):
        monkeypatch.setattr(lag, name, value)

    many, still, moving, churn = rows_of(tmp_path, "lag", "--size", "3000", "--duration", "2")

    assert [row["variant"] for row in (many, still, moving)] == [
        "10 queues, 2 active",
        "one of 3,000, at rest",
        "one of 3,000, a job between reads",
    ]
    for row in (many, still, moving):
        assert 0 < row["median"]["p50_ms"] <= row["median"]["p99_ms"]
        assert row["median"]["sweeps_per_s"] > 0.5
    assert churn["median"]["samples"] >= 3
    assert 0 <= churn["median"]["error_p50_percent"] < 100


def test_an_interrupted_run_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = ["drain", "--processes", "1", "--repeats", "2", "--jobs", "50"]
    out = tmp_path / "drain.json"
    monkeypatch.setattr(Journal, "close", lambda _: None)
    assert main([*limits, "--json", str(out)]) == 0
    first = json.loads(out.read_text())["rows"][0]["jobs_per_s"]
    partial = out.with_name("drain.json.partial")
    partial.write_text("".join(line + "\n" for line in partial.read_text().splitlines()[:2]))

    assert main([*limits, "--json", str(out)]) == 0

    again = json.loads(out.read_text())["rows"][0]["jobs_per_s"]
    assert again[0] == first[0]
    assert "kept from the run before" in capsys.readouterr().err


def test_an_unknown_scenario_is_refused_with_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["sprint"]) == 1
    assert "there are drain" in capsys.readouterr().err


def test_an_unknown_rival_is_refused_with_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["drain", "--rivals", "cron"]) == 1
    assert "pgqueuer" in capsys.readouterr().err
