"""The texts of `queries/*.sql`, read once each."""

from functools import cache
from importlib.resources import files

from psycopg import sql

SCHEMA = "queueworker"
Query = sql.SQL | sql.Composed


@cache
def statement(name: str) -> sql.SQL:
    """Give the statement of `queries/NAME.sql`."""
    text = files("queueworker").joinpath("queries", f"{name}.sql").read_text(encoding="utf-8")
    # Comments are cut: psycopg would look for placeholders in them.
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    return sql.SQL("\n".join(lines))


@cache
def query(name: str) -> bytes:
    """Give the statement of `queries/NAME.sql` as bytes, which psycopg reads for parameters once."""
    return statement(name).as_bytes(None)


@cache
def partition_statement(name: str, part: str) -> sql.Composed:
    """Give the statement of `queries/NAME.sql` for one partition of `job`."""
    return statement(name).format(partition=sql.Identifier(SCHEMA, part))
