"""Make a throw-away database ready: the schema, and a login each for workers and the operator."""

import os
import subprocess
import time

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

DATABASE_WITHIN_S = 120.0
GROUPS = {"WORKER_DSN": "queueworker_worker", "OPERATOR_DSN": "queueworker_operator"}


def prepare() -> psycopg.Connection:
    """Wait for the server, make schema and logins, and give the owner's connection to it."""
    conn = connect(os.environ["QUEUEWORKER_DSN"])
    subprocess.run(["queueworker", "migrate", "--create-roles"], check=True)
    for variable, group in GROUPS.items():
        make_login(conn, os.environ[variable], group)
    return conn


def connect(dsn: str) -> psycopg.Connection:
    """Connect as soon as the server answers."""
    deadline_s = time.monotonic() + DATABASE_WITHIN_S
    while True:
        try:
            return psycopg.connect(dsn, autocommit=True, connect_timeout=5)
        except psycopg.OperationalError as refused:
            if time.monotonic() > deadline_s:
                raise
            print(f"waiting for the database: {str(refused).splitlines()[0]}", flush=True)
            time.sleep(0.5)


def make_login(conn: psycopg.Connection, dsn: str, group: str) -> None:
    """Create the role that `dsn` names, or give it that password; it is a member of `group`."""
    login = conninfo_to_dict(dsn)
    name = sql.Identifier(str(login["user"]))
    known = conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (login["user"],))
    statement = (
        "ALTER ROLE {} LOGIN PASSWORD {}"
        if known.fetchone()
        else "CREATE ROLE {} LOGIN PASSWORD {}"
    )
    conn.execute(sql.SQL(statement).format(name, sql.Literal(login["password"])))
    conn.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), name))
