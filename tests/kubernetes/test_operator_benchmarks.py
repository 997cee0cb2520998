"""The operator's benchmarks in small, against a real API server and a real Postgres."""

import json
from pathlib import Path

import pytest
from benchmarks.cluster import Cluster, queue_worker, running_cluster, secret
from benchmarks.command import main
from benchmarks.errors import NotCompleted
from benchmarks.judged import judged
from benchmarks.operated import running_operator
from benchmarks.server import SETTINGS, Connection, running_server

from queueworker.schema import migrate

pytestmark = pytest.mark.postgres

BURST = "SELECT count(queueworker.enqueue(%s, 'noop')) FROM generate_series(1, 5000)"


def test_each_burst_is_timed_from_its_commit_to_the_scale(tmp_path: Path) -> None:
    out = tmp_path / "reaction.json"

    status = main(["reaction", "--json", str(out), "--jobs", "3", "--duration", "3"])

    (row,) = json.loads(out.read_text())["rows"]
    (run,) = row["runs"]
    assert status == 0
    assert len(run["each_ms"]) == run["samples"] == 3
    assert 0 < min(run["each_ms"]) <= run["p50_ms"] <= run["p99_ms"] < 5_000
    assert run["writes_per_burst"] == 1
    assert run["changes"] >= 3
    assert run["replayed"] >= run["changes"]


def test_a_change_without_its_record_is_no_result() -> None:
    with (
        running_server(SETTINGS) as server,
        server.fresh_database() as database,
        server.connect(database) as conn,
        running_cluster() as cluster,
    ):
        migrate(conn, create_roles=True)
        cluster.create([secret("db", server.url(database)), *queue_worker("mail", "db")])

        with pytest.raises(NotCompleted, match="0->100 has no decision"):
            scale_and_forget(cluster, conn)


def scale_and_forget(cluster: Cluster, conn: Connection) -> None:
    with judged(cluster, [conn]):
        with running_operator(cluster), cluster.watched():
            conn.execute(BURST, ("mail",))
            cluster.await_replicas("mail", 100, within_s=60)
        conn.execute("DELETE FROM queueworker.decision")


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
