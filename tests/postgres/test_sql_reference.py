"""The page about the SQL interface and the schema say the same."""

import re
from pathlib import Path

import psycopg

PAGE = (Path(__file__).parents[2] / "docs/reference/sql.md").read_text()


def test_every_column_of_queue_lag_is_on_the_page(conn: psycopg.Connection) -> None:
    columns = [
        column.name
        for column in conn.execute(
            "SELECT * FROM queueworker.queue_lag(ARRAY[]::text[])"
        ).description
        or ()
    ]

    assert [name for name in columns if f"`{name}`" not in PAGE] == []


def test_every_function_on_the_page_exists_with_its_arguments(conn: psycopg.Connection) -> None:
    known = {
        name: [argument for argument in arguments or () if argument]
        for name, arguments in conn.execute(
            "SELECT proname, proargnames[1:pronargs] FROM pg_proc"
            " WHERE pronamespace = 'queueworker'::regnamespace"
        )
    }
    named = re.findall(r"`(\w+)\(([\w\[\], ]*)\)`", PAGE)

    assert len(named) > 8
    for name, arguments in named:
        wanted = [word.strip().removesuffix("[]") for word in arguments.split(",") if word.strip()]
        assert known[name] == wanted, name


def test_every_role_on_the_page_is_made(conn: psycopg.Connection) -> None:
    named = set(re.findall(r"`(queueworker_\w+)`", PAGE))
    made = {name for (name,) in conn.execute("SELECT rolname FROM pg_roles")}

    assert len(named) == 5
    assert named - made == set()
