"""The operator's benchmarks in small, against a real API server and a real Postgres."""

import json
from pathlib import Path

import pytest
from benchmarks.command import main

pytestmark = pytest.mark.postgres


def test_each_burst_is_timed_from_its_commit_to_the_scale(tmp_path: Path) -> None:
    out = tmp_path / "reaction.json"

    status = main(["reaction", "--json", str(out), "--jobs", "3", "--duration", "3"])

    (row,) = json.loads(out.read_text())["rows"]
    (run,) = row["runs"]
    assert status == 0
    assert len(run["each_ms"]) == run["samples"] == 3
    assert 0 < min(run["each_ms"]) <= run["p50_ms"] <= run["p99_ms"] < 5_000
    assert run["writes_per_burst"] == 1


def test_the_footprint_counts_queries_connections_and_writes(tmp_path: Path) -> None:
    out = tmp_path / "footprint.json"

    status = main(["footprint", "--json", str(out), "--size", "30", "--duration", "6"])

    (row,) = json.loads(out.read_text())["rows"]
    (run,) = row["runs"]
    assert status == 0
    assert run["connections"] == 2
    assert 0.5 < run["reads_per_s"] <= run["queries_per_s"] < 10
    assert 20 < run["rss_mb"] < 150
    assert run["cores"] > 0
