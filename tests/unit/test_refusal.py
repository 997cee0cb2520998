"""Errors of Postgres in a fixed phrase: with a remedy, without a secret."""

import psycopg
import pytest
from tests.support.postgres import CANARY

from queueworker_operator.errors import AccessRefused, GrantMissing, LagUnavailable
from queueworker_operator.lag.connection import describe, parameters
from queueworker_operator.lag.refusal import is_broken, unavailable

NO_ENTRY = 'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "mail", database "mail"'


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        (
            'FATAL:  password authentication failed for user "mail"',
            AccessRefused,
            "check the Secret",
        ),
        ('FATAL:  role "mail" does not exist', AccessRefused, "check the Secret"),
        ('FATAL:  database "mail" does not exist', LagUnavailable, "check its name"),
        ("FATAL:  sorry, too many clients already", LagUnavailable, "raise max_connections"),
        ('FATAL:  too many connections for role "mail"', LagUnavailable, "raise max_connections"),
        ("FATAL:  the database system is starting up", LagUnavailable, "starting or stopping"),
        ("session is read-only", LagUnavailable, "point the DSN at the primary"),
        ("connection refused", LagUnavailable, "up and reachable"),
        (
            'root certificate file "/ca.pem" does not exist\nEither provide the file, use ...',
            LagUnavailable,
            "mount it",
        ),
        (
            'weak sslmode "require" may not be used with sslrootcert=system (use "verify-full")',
            LagUnavailable,
            "sslmode=verify-full",
        ),
        (
            "server does not support SSL, but SSL was required",
            LagUnavailable,
            "turn it on there",
        ),
        (
            f"{NO_ENTRY}, no encryption",
            AccessRefused,
            "takes TLS alone",
        ),
        (
            f"{NO_ENTRY}, SSL encryption\n{NO_ENTRY}, no encryption",
            AccessRefused,
            "the user or the password was refused",
        ),
    ],
)
def test_a_refused_connection_says_what_to_do(
    text: str, kind: type[LagUnavailable], said: str
) -> None:
    refusal = unavailable(psycopg.OperationalError(f"{text} ({CANARY})"), "database mail at db")

    assert type(refusal) is kind
    assert said in str(refusal)
    assert CANARY not in str(refusal)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (psycopg.errors.InsufficientPrivilege, GrantMissing, "grant queueworker_operator"),
        (psycopg.errors.InvalidSchemaName, GrantMissing, "run queueworker migrate"),
        (psycopg.errors.UndefinedFunction, GrantMissing, "run queueworker migrate"),
        (psycopg.errors.QueryCanceled, LagUnavailable, "took too long"),
        (psycopg.errors.DiskFull, LagUnavailable, "lacks a resource"),
        (psycopg.errors.DivisionByZero, LagUnavailable, "the statement failed (SQLSTATE 22012)"),
    ],
)
def test_a_refused_statement_says_what_to_do(
    error: type[psycopg.Error], kind: type[LagUnavailable], said: str
) -> None:
    refusal = unavailable(error(CANARY), "database mail at db")

    assert type(refusal) is kind
    assert said in str(refusal)
    assert CANARY not in str(refusal)


@pytest.mark.parametrize(
    ("error", "broken"),
    [
        (psycopg.errors.ReadOnlySqlTransaction, True),
        (psycopg.errors.AdminShutdown, True),
        (psycopg.OperationalError, True),
        (psycopg.InterfaceError, True),
        (psycopg.errors.QueryCanceled, False),
        (psycopg.errors.UndefinedFunction, False),
    ],
)
def test_only_an_error_that_ends_the_connection_drops_it(
    error: type[psycopg.Error], *, broken: bool
) -> None:
    assert is_broken(error("text")) is broken


@pytest.mark.parametrize(
    "dsn",
    [
        f"host=db port=5433 user=mail password={CANARY} dbname=jobs",
        f"postgresql://mail:{CANARY}@db:5433/jobs?sslmode=require",
    ],
)
def test_a_database_is_named_without_its_password(dsn: str) -> None:
    assert describe(parameters(dsn)) == "database jobs at db:5433"


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://mail:{CANARY}@[db/jobs",
        f"host=db password='{CANARY}",
        f"postgres:/mail:{CANARY}@db/jobs",
        f"nonsense={CANARY}",
        f"postgresql://mail:{CANARY}%zz@db/jobs",
    ],
)
def test_a_malformed_dsn_is_refused_without_being_quoted(dsn: str) -> None:
    with pytest.raises(LagUnavailable, match="the DSN cannot be parsed: check the Secret") as told:
        parameters(dsn)

    assert CANARY not in repr(told.value)
    assert told.value.__cause__ is None
    assert told.value.__suppress_context__


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://app:{CANARY}/x@db/mail",
        f"postgresql://app:x/{CANARY}@db/mail",
        f"postgresql://app:123/{CANARY}@db/mail",
        f"postgresql://app:x@{CANARY}@db/mail",
        f"postgresql://app@db:{CANARY}/mail",
    ],
)
def test_a_password_that_libpq_takes_for_a_place_is_not_shown(dsn: str) -> None:
    with pytest.raises(LagUnavailable, match="check the Secret") as told:
        describe(parameters(dsn))

    assert CANARY not in str(told.value)


def test_several_hosts_and_an_abstract_socket_are_taken() -> None:
    assert describe(parameters("postgresql://app@a:5432,b:5433/mail")).endswith("a,b:5432,5433")
    assert parameters("host=@socket dbname=mail")["host"] == "@socket"
