"""Rows 39 to 41: the operator's database is away, one of many hangs, figures are impossible."""

import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from tests.support.fault_proxy import GOOD, SILENT, FaultProxy, Plan, socket_of, through
from tests.support.history.operator import Span
from tests.support.mail import deployment, queue_worker, secret
from tests.support.operator_bench import OperatorBench
from tests.support.postgres import fresh_database

AWAY = Plan(refuses=True)
QUEUES = 10
AWAY_S = 12.0
RIGHT_AGAIN_WITHIN_S = 5.0


def many(count: int, database: str = "mail-db", **more: Any) -> list[dict[str, Any]]:
    """Give Deployments of 3 replicas and their QueueWorkers."""
    bodies = []
    for number in range(count):
        name = f"{database}-{number}"
        bodies.append(deployment(name, replicas=3))
        spec: dict[str, Any] = more | {
            "scaleTargetRef": {"kind": "Deployment", "name": name},
            "queues": [name],
            "database": {"secretRef": {"name": database}},
        }
        bodies.append(queue_worker(name, **spec))
    return bodies


def test_row_39_while_the_database_is_away_no_replica_changes(operated: OperatorBench) -> None:
    for number in range(QUEUES):
        operated.enqueue(20_000, f"mail-db-{number}")
    operated.place.apply(operated.secret, *many(QUEUES))
    operated.await_leader(operated.start())
    names = [f"mail-db-{number}" for number in range(QUEUES)]
    for name in names:
        operated.await_replicas(50, name=name, within_s=20)
    sizes, tried = dict(operated.sizes.now), operated.database.accepted
    operated.database.plan = AWAY
    operated.database.cut_all()
    operated.conn.execute("DELETE FROM queueworker.job")
    began_s, began = time.monotonic(), time.time()
    operated.place.await_condition("MetricsAvailable", "MetricsUnavailable", name=names[0])
    time.sleep(max(0.0, began_s + AWAY_S - time.monotonic()))

    assert operated.sizes.now == sizes
    away_s = time.monotonic() - began_s
    assert operated.database.accepted - tried <= away_s + 1
    assert operated.check(blind=[Span(from_s=began, to_s=time.time())]) == []
    operated.database.plan = GOOD
    operated.place.await_condition(
        "MetricsAvailable", "AsExpected", name=names[-1], within_s=RIGHT_AGAIN_WITHIN_S
    )


@pytest.fixture
def other_dsn(server: str, template: str) -> Iterator[str]:
    with fresh_database(server, template) as address:
        yield address


def test_row_40_a_database_that_hangs_delays_no_other(
    operated: OperatorBench, other_dsn: str
) -> None:
    with FaultProxy(socket_of(other_dsn)) as other, psycopg.connect(other_dsn) as conn:
        for number in range(5):
            conn.execute("SELECT queueworker.enqueue(%s, 'send')", (f"other-db-{number}",))
        conn.commit()
        operated.enqueue(1)
        bodies = many(5, "other-db", replicas=3)
        operated.place.apply(secret(through(other_dsn, other), "other-db"), *bodies)
        operated.place.apply(operated.secret, deployment(), queue_worker(maxReplicas=4))
        operated.await_leader(operated.start())
        for name in ("mail", "other-db-4"):
            operated.place.await_condition("MetricsAvailable", "AsExpected", name=name)
        other.plan = SILENT  # its connections stay open and never answer
        operated.place.await_condition(
            "MetricsAvailable", "MetricsUnavailable", name="other-db-4", within_s=20
        )

        operated.enqueue(2000)

        operated.await_replicas(4, within_s=3)
        assert all(operated.sizes.now[f"other-db-{number}"] == 3 for number in range(5))


HOSTILE = {
    "NaN": ("oldest_ready_age_s", "'NaN'::float8"),
    "infinite": ("service_sum_s", "'Infinity'::float8"),
    "negative": ("ready", "-1::int8"),
    "NULL": ("ready", "NULL::int8"),
}


def lie(conn: psycopg.Connection[Any], column: str, value: str) -> None:
    """Put a function in front of `queue_lag` that tells a wrong value."""
    row = conn.execute(
        "SELECT pg_get_function_result(oid), proargnames[2:], oid::regprocedure::text"
        " FROM pg_proc WHERE proname = 'queue_lag'"
    ).fetchone()
    assert row is not None
    result, names, signature = row
    told = ", ".join(value if name == column else name for name in names)
    conn.execute(
        sql.SQL(
            "ALTER FUNCTION {} RENAME TO queue_lag_honest;"
            " CREATE FUNCTION queueworker.queue_lag(queues text[]) RETURNS {} LANGUAGE sql"
            " SECURITY DEFINER AS {}"
        ).format(
            sql.SQL(signature),
            sql.SQL(result),
            sql.Literal(f"SELECT {told} FROM queueworker.queue_lag_honest(queues)"),  # noqa: S608
        )
    )


@pytest.mark.parametrize("what", HOSTILE)
def test_row_41_an_impossible_figure_is_refused_and_changes_nothing(
    operated: OperatorBench, what: str
) -> None:
    operated.enqueue(2000)
    operated.place.apply(operated.secret, deployment(), queue_worker(maxReplicas=4))
    operated.await_leader(operated.start())
    operated.await_replicas(4)
    lie(operated.conn, *HOSTILE[what])
    operated.conn.execute("DELETE FROM queueworker.job")

    condition = operated.place.await_condition("MetricsAvailable", "MetricsUnavailable")

    assert HOSTILE[what][0] in condition["message"]
    time.sleep(2)
    assert operated.sizes.now["mail-worker"] == 4


def test_row_41_a_queue_without_a_row_holds_the_replicas(operated: OperatorBench) -> None:
    """With replicas and no row for their queue, this is another database than theirs."""
    operated.place.apply(operated.secret, deployment(replicas=3), queue_worker(queues=["nowhere"]))
    operated.await_leader(operated.start())

    condition = operated.place.await_condition("MetricsAvailable", "MetricsUnavailable")

    assert "nowhere" in condition["message"]
    assert operated.sizes.now["mail-worker"] == 3
    assert operated.writes() == []
