"""What is kept of QueueWorkers that are gone is removed in time; of those that live, nothing is."""

import pytest
from tests.support.postgres import Connection

pytestmark = pytest.mark.postgres


def save(conn: Connection, name: str, *, days_ago: int) -> None:
    conn.execute("SELECT queueworker.save_state(%s, '{}')", (name,))
    conn.execute(
        "UPDATE queueworker.operator_state SET saved_at = saved_at - make_interval(days => %s)"
        " WHERE name = %s",
        (days_ago, name),
    )


def decide(conn: Connection, name: str, *, days_ago: int) -> None:
    conn.execute(
        "SELECT queueworker.record_decision(%s, jsonb_build_object("
        "'asked', 2, 'decided_ago_s', %s::int * 86400))",
        (name, days_ago),
    )


def maintain(conn: Connection) -> None:
    conn.execute("SELECT queueworker.maintain(at_once => true)")


def names(conn: Connection, table: str) -> list[str]:
    found = conn.execute(
        "SELECT name FROM queueworker.operator_state WHERE %(table)s = 'operator_state'"
        " UNION ALL SELECT name FROM queueworker.decision WHERE %(table)s = 'decision'"
        " ORDER BY name",
        {"table": table},
    )
    return [name for (name,) in found]


def test_a_queueworker_whose_state_nobody_saved_for_a_month_is_forgotten_with_its_history(
    conn: Connection,
) -> None:
    for name, days_ago in (("shop/gone", 31), ("shop/lately", 29)):
        save(conn, name, days_ago=days_ago)
        decide(conn, name, days_ago=days_ago + 1)
        decide(conn, name, days_ago=days_ago)

    maintain(conn)

    assert names(conn, "operator_state") == ["shop/lately"]
    assert names(conn, "decision") == ["shop/lately", "shop/lately"]


def test_a_queueworker_that_lives_keeps_decisions_of_any_age(conn: Connection) -> None:
    save(conn, "shop/mail", days_ago=0)
    decide(conn, "shop/mail", days_ago=400)

    maintain(conn)

    assert names(conn, "operator_state") == ["shop/mail"]
    assert names(conn, "decision") == ["shop/mail"]


def test_minutes_of_a_dry_run_go_after_a_week_though_no_dry_run_is_left(conn: Connection) -> None:
    for days_ago in (8, 6):
        conn.execute(
            "INSERT INTO queueworker.dry_run_minute VALUES ("
            "'shop/mail', date_trunc('minute', now()) - make_interval(days => %s), '{}')",
            (days_ago,),
        )

    maintain(conn)

    left = conn.execute(
        "SELECT count(*), bool_and(minute > now() - interval '7 days')"
        " FROM queueworker.dry_run_minute"
    ).fetchone()
    assert left == (1, True)


def test_many_forgotten_queueworkers_go_a_few_at_a_time(conn: Connection) -> None:
    for number in range(5):
        save(conn, f"shop/gone-{number}", days_ago=40)

    conn.execute("SELECT queueworker.maintain(at_once => true, most => 600)")
    assert len(names(conn, "operator_state")) == 3

    maintain(conn)
    assert names(conn, "operator_state") == []
