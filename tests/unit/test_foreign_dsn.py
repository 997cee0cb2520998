"""A connection string out of a Secret takes nothing from whoever reads it."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.pq import Conninfo
from tests.support.pages import ROOT
from tests.support.postgres import CANARY

from queueworker_operator.lag.connection import describe
from queueworker_operator.lag.foreign import TAKEN, close_environment, refusal_of

KEYWORDS = [option.keyword.decode() for option in Conninfo.get_defaults()]
REACH = "host=db user=me password=x dbname=jobs"
HONEST = [
    REACH,
    "postgresql://me:x@db:5432/jobs?sslmode=verify-full&sslrootcert=system",
    "host=one,two,three port=5432 dbname=jobs target_session_attrs=read-write",
    f"{REACH} options='-c role=scaler' connect_timeout=3 keepalives_idle=5",
    "host=/var/run/postgresql dbname=jobs",
]


@pytest.mark.parametrize("dsn", HONEST)
def test_what_it_takes_to_reach_a_server_is_taken(dsn: str) -> None:
    assert refusal_of(dsn) is None


@pytest.mark.parametrize("keyword", sorted(set(KEYWORDS) - TAKEN))
def test_every_other_parameter_of_libpq_is_refused_by_name(keyword: str) -> None:
    refusal = refusal_of(f"{REACH} {keyword}=secret-value")

    assert refusal is not None
    assert f"has {keyword}" in refusal
    assert "leave it out" in refusal
    assert "secret-value" not in refusal


def test_the_list_of_what_is_taken_names_parameters_that_exist() -> None:
    assert set(KEYWORDS) >= TAKEN
    assert {"passfile", "service", "sslkey", "sslkeylogfile"}.isdisjoint(TAKEN)


def test_long_strings_many_hosts_and_files_of_certificates_are_refused_with_the_remedy() -> None:
    assert "at most 8" in str(refusal_of(f"host={','.join('abcdefghi')} dbname=x"))
    assert "at most 8" in str(refusal_of(f"hostaddr={','.join(['10.0.0.1'] * 9)} dbname=x"))
    assert "longer than 4096" in str(refusal_of("host=db dbname=" + "x" * 4096))
    assert "sslrootcert=system" in str(refusal_of(f"{REACH} sslrootcert=/ca.pem"))


@given(st.text(max_size=200))
@settings(deadline=None)  # a busy machine is no failure
def test_no_text_breaks_the_check_and_none_is_quoted(text: str) -> None:
    for dsn in (f"host=db passfile='{text}{CANARY}'", f"{text} {CANARY}", f"{text}={CANARY}"):
        assert CANARY not in str(refusal_of(dsn))


def test_an_environment_lends_no_password_file_or_service() -> None:
    environ = {
        "PATH": "/bin",
        "PGPASSWORD": "lent",
        "PGPASSFILE": "/home/me/.pgpass",
        "PGSERVICE": "mine",
        "PGSSLKEY": "/home/me/key",
        "PGHOST": "db",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": "/ca.pem",
    }

    close_environment(environ)

    assert environ == {
        "PATH": "/bin",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": "/ca.pem",
        "PGPASSFILE": "/nonexistent",
        "PGSSLCERTMODE": "disable",
        "PGGSSENCMODE": "disable",
    }


def test_the_variables_that_an_operator_keeps_are_those_that_the_page_about_teams_names() -> None:
    page = (ROOT / "docs/howto/several-teams.md").read_text()
    _, _, section = page.partition("## The connection strings")
    named = set(re.findall(r"`(PG[A-Z]+)`", section.partition("\n## ")[0]))
    known = {option.envvar.decode() for option in Conninfo.get_defaults() if option.envvar}
    environ = dict.fromkeys(known, "the administrator's")

    close_environment(environ)

    assert named == {name for name, value in environ.items() if value == "the administrator's"}


def test_a_database_is_named_in_one_short_line_whatever_it_is_called() -> None:
    said = describe({"host": 'a\n{"level":"error"}\x1b[31m', "dbname": "x" * 5000})

    assert said.isprintable()
    assert len(said) < 250
