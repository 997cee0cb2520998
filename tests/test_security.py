"""What no reviewer should have to look for."""

import argparse
import ast
import asyncio
import io
import logging
import os
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock
from urllib.parse import quote, quote_plus

import psycopg
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.support.postgres import CANARY

from queueworker import App
from queueworker.cli import main
from queueworker.cli.parser import build_parser
from queueworker.connection import connect, connect_sync
from queueworker.dsn import Dsn
from queueworker.errors import DatabaseUnavailable, InvalidDsn, QueueWorkerError
from queueworker.settings import Settings

ROOT = Path(__file__).parents[1]
MODULES = sorted([*ROOT.glob("operator/**/*.py"), *ROOT.glob("worker/**/*.py")])
# What takes a query, psycopg's own and the store's, and at which place.
QUERY_PLACES = {
    **dict.fromkeys(("execute", "executemany", "stream", "copy", "fetch", "fetch_value"), 0),
    **dict.fromkeys(("rows_of", "tuples_of"), 1),
}
FORBIDDEN_IMPORTS = {"pickle", "marshal", "shelve", "dill", "cloudpickle"}
FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "__import__"),
    *("builtins.eval", "builtins.exec", "builtins.compile", "builtins.__import__"),
    *("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.unsafe_load_all", "yaml.full_load"),
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"),
    "asyncio.create_subprocess_shell",
}


def name_of(node: ast.expr) -> tuple[str, str]:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.value.id, node.attr
    return "", node.id if isinstance(node, ast.Name) else ""


def is_built_from_text(node: ast.expr, names: dict[str, list[ast.expr]], depth: int = 5) -> bool:
    """Tell whether a query's text is put together from strings; `psycopg.sql` is not text."""
    match node:
        case ast.JoinedStr(values=values):
            return any(isinstance(part, ast.FormattedValue) for part in values)
        case ast.Call(func=ast.Attribute() as func):
            return is_a_building_call(func, node, names, depth)
        case ast.Name(id=name) if depth:
            return any(is_built_from_text(v, names, depth - 1) for v in names.get(name, []))
    return isinstance(node, ast.BinOp)


def is_a_building_call(
    func: ast.Attribute, call: ast.Call, names: dict[str, list[ast.expr]], depth: int
) -> bool:
    if name_of(func) == ("sql", "SQL"):
        return any(is_built_from_text(part, names, depth) for part in call.args)
    is_text = isinstance(func.value, ast.Constant | ast.JoinedStr | ast.Name)
    if func.attr in {"format", "join", "replace", "format_map"} and is_text:
        return True
    passes_on = {"format", "join", "replace", "format_map", "encode"}
    return func.attr in passes_on and is_built_from_text(func.value, names, depth)


def imported(tree: ast.AST) -> dict[str, str]:
    """Give the full name of what each imported name stands for."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            names |= {
                alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names
            }
    return names


def full_name(node: ast.expr, aliases: dict[str, str]) -> str:
    match node:
        case ast.Attribute(value=value, attr=attr):
            return f"{full_name(value, aliases)}.{attr}"
        case ast.Name(id=name):
            return aliases.get(name, name)
    return ""


def assignments(tree: ast.AST) -> dict[str, list[ast.expr]]:
    names: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    names.setdefault(target.id, []).append(node.value)
        elif (
            isinstance(node, ast.AnnAssign | ast.NamedExpr | ast.AugAssign)
            and node.value
            and isinstance(node.target, ast.Name)
        ):
            grown = isinstance(node, ast.AugAssign)
            value = ast.BinOp(node.value, ast.Add(), node.value) if grown else node.value
            names.setdefault(node.target.id, []).append(value)
    return names


def risks(source: str) -> Iterator[str]:
    """Give every dangerous spot of a module."""
    tree = ast.parse(source)
    names, aliases = assignments(tree), imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names]
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for module in modules:
                if module.split(".")[0] in FORBIDDEN_IMPORTS:
                    yield f"{node.lineno}: imports {module}"
        elif isinstance(node, ast.Call):
            called = full_name(node.func, aliases)
            yield from (f"{node.lineno}: {what}" for what in call_risks(node, called, names))


def call_risks(node: ast.Call, called: str, names: dict[str, list[ast.expr]]) -> Iterator[str]:
    if called in FORBIDDEN_CALLS:
        yield f"calls {called}"
    if any(word.arg == "shell" and not is_false(word.value) for word in node.keywords):
        yield "starts a shell"
    if any(is_built_from_text(query, names) for query in queries_of(node)):
        yield "formats the text of a query"


def is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def queries_of(node: ast.Call) -> Iterator[ast.expr]:
    """Give the arguments of a call that are texts of queries."""
    attribute = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    place = 0 if name_of(node.func) == ("sql", "SQL") else QUERY_PLACES.get(attribute)
    if place is not None:
        yield from node.args[place : place + 1]
        yield from (word.value for word in node.keywords if word.arg == "query")


# `statements.py` joins the lines of one .sql file: the only text that is not a literal.
EXCEPTIONS = {"worker/queueworker/statements.py": 1}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_formats_sql_or_loads_objects_from_bytes(path: Path) -> None:
    allowed = EXCEPTIONS.get(str(path.relative_to(ROOT)), 0)

    assert len(found := list(risks(path.read_text()))) <= allowed, found


@pytest.mark.parametrize(
    "source",
    [
        'conn.execute(f"SELECT {x}")',
        'conn.execute("SELECT %s" % x)',
        'conn.execute("SELECT " + x)',
        'conn.execute("SELECT {}".format(x))',
        'conn.execute(" ".join(parts))',
        'query = f"SELECT {x}"\nawait cursor.execute(query)',
        'query = "SELECT 1"\nquery += x\ncursor.execute(query)',
        'cursor.execute(sql.SQL(f"SELECT {x}"))',
        'cursor.executemany(f"DELETE FROM {x}", rows)',
        'conn.execute(f"SELECT {x}".encode())',
        'store.fetch(f"SELECT {x}", {})',
        'await self.fetch_value("SELECT " + x, {})',
        'session.rows_of(Row, "SELECT {}".format(x), {})',
        'conn.execute(query=f"SELECT {x}")',
        'with cursor.copy(f"COPY {x} FROM STDIN"): ...',
        'if (query := f"SELECT {x}"): conn.execute(query)',
        "import pickle",
        "def late():\n    import pickle",
        "from pickle import loads as read",
        "from marshal import loads",
        "import shelve as s",
        "yaml.load(text)",
        "import yaml as y\ny.load(text)",
        "from yaml import unsafe_load as load\nload(text)",
        "eval(text)",
        "exec(text)",
        "compile(text, name, mode)",
        "import builtins\nbuiltins.eval(text)",
        "__import__(name)",
        "os.system(command)",
        "from os import system\nsystem(command)",
        "os.popen(command)",
        "subprocess.run(command, shell=True)",
        "subprocess.Popen(command, shell=is_shell)",
        "await asyncio.create_subprocess_shell(command)",
        "subprocess.getoutput(command)",
    ],
)
def test_the_check_finds_what_it_forbids(source: str) -> None:
    assert list(risks(source)) != []


@pytest.mark.parametrize(
    "source",
    [
        'conn.execute("SELECT 1", (x,))',
        'conn.execute(statement("claim"), parameters)',
        'cursor.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))',
        "yaml.safe_load(text)",
        're.compile("x")',
        "subprocess.run([name], shell=False)",
        "conn.execute(query, {'most': most + 1})",
    ],
)
def test_the_check_lets_safe_code_pass(source: str) -> None:
    assert list(risks(source)) == []


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


UNREACHABLE = [
    f"postgresql://user:{CANARY}@127.0.0.1:1/jobs",
    f"host=/nonexistent user=user password={CANARY} dbname=jobs",
    f"postgresql://user:{CANARY}@name.invalid:5432/jobs",
]


@pytest.mark.parametrize("dsn", UNREACHABLE)
def test_an_unreachable_database_is_named_without_its_password(dsn: str) -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        connect_sync(Dsn.parse(dsn), application_name="test")
    with pytest.raises(DatabaseUnavailable) as caught_async:
        asyncio.run(connect(Dsn.parse(dsn), application_name="test"))

    for error in (caught.value, caught_async.value):
        assert CANARY not in everything_said(error)
        assert "jobs" in str(error)


@pytest.mark.postgres
def test_errors_of_a_working_connection_keep_the_password(dsn: str) -> None:
    assert CANARY in dsn
    said = []
    for bad in (
        dsn.replace("dbname=", "dbname=no_such_"),
        dsn.replace("postgres ", "nobody_here "),
    ):
        with pytest.raises(QueueWorkerError) as caught:
            connect_sync(Dsn.parse(bad), application_name="test")
        said.append(everything_said(caught.value))

    assert CANARY not in "".join(said)


@pytest.mark.postgres
def test_no_password_is_stored_in_the_database(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        rows = conn.execute("SELECT * FROM pg_stat_activity").fetchall()

    assert CANARY not in repr(rows)
