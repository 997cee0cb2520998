"""The how-to for producers does what it says."""

import asyncio
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.support.postgres import Connection
from tests.support.producing import count

from queueworker import App

pytestmark = pytest.mark.postgres

HOWTO = (Path(__file__).parents[2] / "docs/howto/producers.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", HOWTO, re.MULTILINE | re.DOTALL)


def test_the_how_tos_python_runs(dsn: str, conn: Connection) -> None:
    conn.execute("CREATE TABLE account (id int, address text)")
    space: dict[str, Any] = {}
    for block in blocks("python")[:2]:
        exec(block, space)  # noqa: S102 - the page is ours

    async def scenario() -> list[int | None]:
        async with await psycopg.AsyncConnection.connect(dsn) as mine:
            await space["sign_up"](mine, 7, "ann@example.org")
        space["app"] = App(dsn)
        async with space["app"]:
            await space["place"](1)
            await space["place"](1)
            made: list[int | None] = await space["import_all"](["a@example.org", "b@example.org"])
            return made

    ids = asyncio.run(scenario())

    assert None not in ids
    assert count(conn) == 5


def test_the_how_tos_sql_runs(conn: Connection) -> None:
    conn.execute("CREATE TABLE account (address text)")
    for _ in range(2):
        conn.execute(blocks("sql")[0])

    assert count(conn) == 3
