"""Row 41: the database tells figures that cannot be."""

import time
from typing import Any

import psycopg
import pytest
from psycopg import sql
from tests.support.mail import deployment, queue_worker
from tests.support.operator_bench import OperatorBench

HOSTILE = {
    "NaN": ("oldest_ready_age_s", "'NaN'::float8"),
    "infinite": ("service_sum_s", "'Infinity'::float8"),
    "negative": ("ready", "-1::int8"),
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
