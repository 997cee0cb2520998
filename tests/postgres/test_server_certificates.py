"""`sslrootcert=system` trusts the system's certificates, and a server that is not proven is told so."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from tests.support.tls_proxy import TlsAddress, tls_in_front_of
from tests.support.trusting import run

STATS = ("queueworker", "stats")
EXPLAIN = ("queueworker_operator", "explain", "shop/mail")
ANSWERED = {STATS: "no queue", EXPLAIN: "no decision"}
both_programs = pytest.mark.parametrize("program", ANSWERED)


@pytest.fixture
def tls(dsn: str, tmp_path: Path) -> Iterator[TlsAddress]:
    with tls_in_front_of(f"{conninfo_to_dict(dsn)['host']}/.s.PGSQL.5432", tmp_path) as address:
        yield address


@pytest.fixture
def by_tls(dsn: str, tls: TlsAddress) -> Callable[..., str]:
    def address(**given: str) -> str:
        return make_conninfo(dsn, **{"host": "localhost", "port": str(tls.port)} | given)

    return address


def told(program: tuple[str, ...], dsn: str, authority: Path | None = None) -> str:
    """Give what a program says of a database; `authority` is all that its system trusts."""
    done = run([sys.executable, "-m", *program], {"QUEUEWORKER_DSN": dsn}, authority)
    assert "Traceback" not in done.stderr
    return " ".join(f"{done.stdout}{done.stderr}".split())


@both_programs
@pytest.mark.parametrize("asked", [{}, {"sslmode": "verify-full"}])
def test_the_systems_certificates_prove_a_server_though_nobody_says_where_they_are(
    program: tuple[str, ...], asked: dict[str, str], by_tls: Callable[..., str], tls: TlsAddress
) -> None:
    dsn = by_tls(sslrootcert="system", **asked)

    assert ANSWERED[program] in told(program, dsn, tls.certificate)


@both_programs
def test_a_server_whose_authority_the_system_lacks_is_not_trusted(
    program: tuple[str, ...], by_tls: Callable[..., str]
) -> None:
    dsn = by_tls(sslmode="verify-full", sslrootcert="system")

    assert "certificate is signed by nobody that is trusted here" in told(program, dsn)


@both_programs
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"host": "127.0.0.1"}, "certificate is of another host"),
        ({"sslrootcert": "/nonexistent.pem"}, "cannot be read"),
        ({"sslrootcert": "system", "sslmode": "require"}, "needs sslmode=verify-full"),
    ],
)
def test_a_server_that_cannot_be_proven_is_told_from_one_that_is_away(
    program: tuple[str, ...],
    given: dict[str, str],
    said: str,
    by_tls: Callable[..., str],
    tls: TlsAddress,
) -> None:
    dsn = by_tls(**{"sslmode": "verify-full", "sslrootcert": str(tls.certificate)} | given)

    assert said in told(program, dsn)
