"""Whatever an address looks like, its password is shown to nobody."""

import argparse
import io
import os
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

import psycopg
import pytest
from hypothesis import HealthCheck, assume, given, settings
from tests.support.addresses import ADDRESSES, MALFORMED, WELL_FORMED, everything_said
from tests.support.postgres import CANARY

from queueworker import App
from queueworker.cli import main
from queueworker.cli.parser import build_parser
from queueworker.connection import connect_sync
from queueworker.dsn import Dsn
from queueworker.errors import InvalidDsn, QueueWorkerError
from queueworker.settings import Settings


@pytest.mark.parametrize("dsn", MALFORMED)
def test_a_malformed_dsn_is_refused_without_being_quoted(dsn: str) -> None:
    with pytest.raises(InvalidDsn) as caught:
        Settings.from_env({"QUEUEWORKER_DSN": dsn})

    assert CANARY not in everything_said(caught.value)
    assert "QUEUEWORKER_DSN" in str(caught.value)


def test_a_socket_folder_that_cannot_be_is_not_blamed_on_the_password() -> None:
    with pytest.raises(InvalidDsn, match="folder of a socket") as caught:
        Dsn.parse("host='/tmp/a=b' dbname=x")

    assert "password" not in str(caught.value)


def test_psycopg_itself_would_quote_some_of_them() -> None:
    def quotes(dsn: str) -> bool:
        try:
            psycopg.conninfo.conninfo_to_dict(dsn)
        except psycopg.Error as exc:
            return CANARY in str(exc)
        return False

    assert sum(map(quotes, MALFORMED)) >= 3


@pytest.mark.parametrize(("dsn", "host"), WELL_FORMED)
def test_a_dsn_is_read_and_never_printed_whole(dsn: str, host: str) -> None:
    parsed = Dsn.parse(dsn)
    settings = Settings(dsn=parsed)

    assert parsed.parameters["host"] == host
    assert CANARY in parsed.parameters["password"]
    for shown in (str(parsed), repr(parsed), f"{parsed}", repr(settings), repr(vars(App(dsn)))):
        assert CANARY not in shown


@pytest.mark.parametrize(("dsn", "host"), WELL_FORMED[:-1])
def test_our_reading_of_a_dsn_is_that_of_libpq(dsn: str, host: str) -> None:
    assert dict(Dsn.parse(dsn).parameters) == psycopg.conninfo.conninfo_to_dict(dsn)
    assert host


FUZZED = settings(max_examples=800, deadline=None)


def refusal(read: Callable[[], object]) -> str:
    """Give all that is said of an address that is refused; nothing of one that is read."""
    try:
        shown = read()
    except InvalidDsn as exc:
        return everything_said(exc)
    return f"{shown} {shown!r}"


@FUZZED
@given(ADDRESSES)
def test_no_address_of_any_shape_shows_its_password(address: str) -> None:
    assert CANARY not in refusal(lambda: Dsn.parse(address))
    assert CANARY not in refusal(lambda: vars(App(address)))
    for name in ("QUEUEWORKER_DSN", "QUEUEWORKER_LISTEN_DSN"):
        said = refusal(lambda name=name: Settings.from_env({name: address}))  # type: ignore[misc]
        assert CANARY not in said


@FUZZED
@given(ADDRESSES)
def test_no_failure_to_connect_shows_the_password_of_an_address(address: str) -> None:
    try:
        parsed = Dsn.parse(address)
    except InvalidDsn:
        return
    kept = {key: value for key, value in parsed.parameters.items() if key != "hostaddr"}
    nowhere = Dsn(parameters={**kept, "host": "/nonexistent"})

    with pytest.raises(QueueWorkerError) as caught:
        connect_sync(nowhere, application_name="test")

    assert CANARY not in everything_said(caught.value)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(ADDRESSES)
def test_no_command_shows_the_password_of_an_address_that_it_refuses(address: str) -> None:
    assume("\0" not in address and is_refused(address))
    output, complaint = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, {"QUEUEWORKER_DSN": address}),
        redirect_stdout(output),
        redirect_stderr(complaint),
    ):
        assert main(["queue", "list"]) == 1

    assert CANARY not in output.getvalue() + complaint.getvalue()
    assert complaint.getvalue().count("\n") == 1
    assert "QUEUEWORKER_DSN" in complaint.getvalue()


def is_refused(address: str) -> bool:
    try:
        return not (address.strip() and Dsn.parse(address))
    except InvalidDsn:
        return True


def test_the_fuzzed_addresses_are_of_both_kinds() -> None:
    seen = {True: 0, False: 0}

    @settings(max_examples=300, deadline=None, database=None)
    @given(ADDRESSES)
    def look(address: str) -> None:
        seen[is_refused(address)] += 1

    look()
    assert min(seen.values()) >= 20, seen


def test_no_command_takes_an_address_as_an_argument() -> None:
    # Whoever may list processes would read the password.
    def options(parser: argparse.ArgumentParser) -> Iterator[str]:
        for action in parser._actions:
            yield from action.option_strings
            if isinstance(action, argparse._SubParsersAction):
                for child in action.choices.values():
                    yield from options(child)

    assert {"--queue", "--json"} <= set(options(build_parser()))
    assert not [name for name in options(build_parser()) if "dsn" in name or "pass" in name]
