"""Addresses with a password, as people write and mistype them."""

import io
import logging
import re
import traceback
from urllib.parse import quote, quote_plus

from hypothesis import strategies as st
from tests.support.postgres import CANARY

MALFORMED = [
    f"postgresql://user:{CANARY}@host:notaport/db",
    f"postgresql://user:x/{CANARY}@host/db",
    f"postgresql://user:x%zz{CANARY}@host/db",
    f"postgresql://user:x?{CANARY}@host/db",
    f"postgresql://user:x?{CANARY}=1@host/db",
    f"postgresql://user:{CANARY}@[::1/db",
    f"postgresql://user:/{CANARY}",
    f"host=h user=mepassword={CANARY}",
    f"postgresql:/user:{CANARY}@host/db",
    f"mysql://user:{CANARY}@host/db",
    f"host=h password=two {CANARY} dbname=x",
    f"host=h password='{CANARY} dbname=x",
    f"host=h password={CANARY} port=abc",
    f"host=h dbname=postgresql://user:{CANARY}@h/x",
    f"host=user:{CANARY}@h dbname=x",
    f"host='/tmp/x password={CANARY}' dbname=x",
    f"host='/tmp postgresql://user:{CANARY}@h/x'",
    f"host=h {CANARY}=password",
    f"host=h sslmode={CANARY}",
    f"postgresql://user:{CANARY}@host/db?connect_timeout={CANARY}",
]


def everything_said(error: BaseException) -> str:
    """Give what any log, console or debugger of a user would show of an error."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    logger = logging.getLogger("canary")
    logger.propagate = False
    logger.addHandler(handler)
    logger.error("failed: %s", error, exc_info=error)
    logger.removeHandler(handler)
    shown = [*traceback.format_exception(error), str(error), repr(error), repr(error.args)]
    return text.getvalue() + "".join(shown)


WELL_FORMED = [
    (f"postgresql://user:{CANARY}@db.example.org:5433/jobs?sslmode=require", "db.example.org"),
    (f"postgres://us%40er:{CANARY}@%2Ftmp%2Fsock/jobs", "/tmp/sock"),  # noqa: S108
    (f"postgresql://user:{CANARY}@[::1]:5432/jobs", "::1"),
    (f"postgresql://user:{CANARY}@one:1,two:2/jobs", "one,two"),
    (f"postgresql:///jobs?host=/run/pg&password={CANARY}", "/run/pg"),
    (f"host=db password='{CANARY}' dbname = jobs", "db"),
    (f"host=db password=a\\ b{CANARY} dbname=jobs", "db"),
    (f"host='/home/me/my db/run' password={CANARY} dbname=jobs", "/home/me/my db/run"),
    (f"host=/home/me/my\\ db password={CANARY} dbname=jobs", "/home/me/my db"),
    (f"postgresql://user:{CANARY}@%2Fhome%2Fme%2Fmy%20db/jobs", "/home/me/my db"),
    (f"postgresql://user:p@{CANARY}@db/jobs", "db"),
]
# What people paste into a password, and into the rest of an address.
JUNK = st.text(
    st.sampled_from("aZ07 \t\n\r'\"\\@:/?#%&=,;[]{}()<>$!*+-._~^|`\0\u00e9\u202e\u2028\U0001f511"),
    max_size=6,
)
# The ends of a password that lead a reader astray.
HEAD = st.sampled_from(
    ["", "", "/", "7/", "x/", "?", "#", "@", "p@h/", "7?", " ", "x ", "'", "%", "%40"]
)
TAIL = st.sampled_from(
    ["", "", "=", "=1", "/", "?", "&", "@", ":", " ", " =", "'", "\\", "%zz", "%00"]
)
SECRET = st.one_of(
    st.builds("{}{}{}".format, HEAD, st.just(CANARY), TAIL),
    st.builds("{0}{1}{4}{2}{3}".format, JUNK, HEAD, TAIL, JUNK, st.just(CANARY)),
)
QUOTED = st.sampled_from(["{}", "'{}'", "'{}", "{}'", '"{}"', " {}", "'{}'x", "\\{}"])
PLACE = st.one_of(
    st.sampled_from(["db", "db", "127.0.0.1", "[::1]", "a,b", "[::1", "%2Ftmp", ""]), JUNK
)
PORT = st.one_of(st.sampled_from(["", ":5432", ":x", ":1,2", ":99999999"]), JUNK)
SCHEME = st.one_of(
    st.just("postgresql://"),
    st.sampled_from(
        ["postgres://", "POSTGRESQL://", "postgresql:/", "postgresql:", "mysql://", ""]
    ),
)
USER = st.one_of(st.sampled_from(["user", ""]), JUNK)
QUERY = st.one_of(
    st.sampled_from(["", "?", "?sslmode=require", "?sslmode", "?ssl=true&x", "?a=b", "?host=/run"]),
    JUNK,
)
URLS = st.builds("{}{}:{}@{}{}/{}{}".format, SCHEME, USER, SECRET, PLACE, PORT, PLACE, QUERY)
# Without a host, `user:7/x` is the database x at user:7 and `user:@x` is the host x, also to libpq.
WITHOUT_HOST = st.builds(
    "{}user:{}{}".format,
    SCHEME,
    SECRET.filter(lambda secret: not re.match(r"\s*[\d,:]+/|[^/?]*@", secret)),
    QUERY,
)
IN_QUERY = st.builds(
    "{}{}{}/{}?{}={}&{}".format,
    *(SCHEME, PLACE, PORT, PLACE),
    st.sampled_from(["password", "sslpassword"]),
    *(SECRET, JUNK),
)
PAIR = st.one_of(
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["host", "port", "dbname", "user", "sslmode", "options", "nonsense", ""]),
        st.sampled_from(["=", " = ", "\n=", "", "=="]),
        PLACE,
    ),
    JUNK,
)
PASSWORD = st.builds(
    "{}{}{}".format,
    st.sampled_from(["password", "sslpassword", "PASSWORD", "passwort"]),
    st.sampled_from(["=", " = ", "\n=", "=="]),
    st.builds(lambda shape, secret: shape.format(secret), QUOTED, SECRET),
)
PAIRS = st.builds(
    lambda before, password, after, gap: gap.join([*before, password, *after]),
    *(st.lists(PAIR, max_size=3), PASSWORD, st.lists(PAIR, max_size=3)),
    st.sampled_from([" ", "\n", "  ", "\t", ""]),
)
TIDY = st.builds(
    "postgresql://{}:{}@{}{}/jobs{}".format,
    JUNK.map(quote_plus),
    SECRET.map(lambda secret: quote(secret, safe="")),
    st.sampled_from(["db", "[::1]", "one,two", "%2Ftmp"]),
    st.sampled_from(["", ":5432"]),
    st.sampled_from(["", "?sslmode=require", "?application_name=x%20y"]),
)
TIDY_PAIRS = SECRET.map(
    lambda secret: re.sub(r"(['\\])", r"\\\1", secret),
).map("host=db dbname=jobs password='{}' user=me".format)
ADDRESSES = st.one_of(URLS, WITHOUT_HOST, IN_QUERY, PAIRS, TIDY, TIDY_PAIRS)
