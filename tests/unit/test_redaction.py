"""What a handler's error quotes of an address reaches no row and no log with its password."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.postgres import CANARY

from queueworker.errors import Discard, InvalidCall, RetryAfter
from queueworker.execute.call import MOST_ERROR_CHARACTERS, failure, invalid_arguments
from queueworker.job import Failed, Outcome

QUOTES = [
    "cannot reach postgresql://user:{}@db/jobs",
    "cannot reach postgresql://user:p@{}@db:5432/jobs now",
    "amqp://:{}@rabbit//",
    "host=db user=u password={} dbname=jobs",
    "host=db password='{}' dbname=jobs",
    "host=db password = 'it\\'s {}' dbname=jobs",
    "PGPASSWORD={} psql",
    "connect(host='db', password='{}', port=1)",
    "{{'host': 'db', 'password': '{}'}}",
    '{{"host": "db", "password": "{}"}}',
    "sslpassword={}",
    "DB_PASSWORD: {}",
]
RAISED = [ValueError, OSError, Discard, lambda text: RetryAfter(1.0, text)]


def said(outcome: Outcome) -> str:
    return repr(outcome)


def raised(exc: Exception) -> Exception:
    try:
        raise exc  # noqa: TRY301 - it needs a traceback
    except Exception as caught:  # noqa: BLE001
        return caught


@pytest.mark.parametrize("quote", QUOTES)
@pytest.mark.parametrize("error", RAISED, ids=["ValueError", "OSError", "Discard", "RetryAfter"])
@pytest.mark.parametrize("padding", [0, MOST_ERROR_CHARACTERS - 40, MOST_ERROR_CHARACTERS - 50])
def test_no_error_of_a_handler_shows_a_password(
    quote: str, error: type[Exception], padding: int
) -> None:
    text = "x" * padding + " " + quote.format(CANARY)

    for exc in (error(text), raised(error(text))):
        assert CANARY[:8] not in said(failure(exc))
    assert CANARY[:8] not in said(invalid_arguments(InvalidCall(text)))


@given(
    password=st.text(st.characters(codec="ascii", categories=("L", "N", "P")), min_size=1),
    quote=st.sampled_from(QUOTES[:3]),
)
def test_no_address_shows_its_password_whatever_it_is_made_of(password: str, quote: str) -> None:
    secret = CANARY + password.replace(" ", "") + CANARY

    assert CANARY not in said(failure(raised(ValueError(quote.format(secret)))))


def test_what_is_no_password_stays() -> None:
    text = "GET https://api.example.org:8443/v1?x=1 failed for a@example.org: the password is wrong"
    outcome = failure(ValueError(text))

    assert isinstance(outcome, Failed)
    assert outcome.error == f"ValueError: {text}"


def test_a_huge_argument_name_makes_no_huge_error() -> None:
    outcome = invalid_arguments(InvalidCall("unexpected argument " + "x" * 1_000_000))

    assert len(said(outcome)) < 2 * MOST_ERROR_CHARACTERS
