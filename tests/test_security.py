"""What no reviewer should have to look for."""

import ast
import asyncio
import io
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.support.postgres import CANARY

from queueworker import App
from queueworker.connection import connect, connect_sync
from queueworker.dsn import Dsn
from queueworker.errors import DatabaseUnavailable, InvalidDsn, QueueWorkerError
from queueworker.settings import Settings

ROOT = Path(__file__).parents[1]
MODULES = sorted([*ROOT.glob("operator/**/*.py"), *ROOT.glob("worker/**/*.py")])
EXECUTORS = {"execute", "executemany", "stream", "copy"}
FORBIDDEN_IMPORTS = {"pickle", "marshal", "shelve", "dill", "cloudpickle"}
FORBIDDEN_CALLS = {("yaml", "load"), ("yaml", "unsafe_load"), ("yaml", "full_load")}
FORBIDDEN_BUILTINS = {"eval", "exec"}


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
    names = assignments(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names]
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for module in modules:
                if module.split(".")[0] in FORBIDDEN_IMPORTS:
                    yield f"{node.lineno}: imports {module}"
        elif isinstance(node, ast.Call):
            yield from call_risks(node, names)


def call_risks(node: ast.Call, names: dict[str, list[ast.expr]]) -> Iterator[str]:
    owner, called = name_of(node.func)
    attribute = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if (owner, called) in FORBIDDEN_CALLS or (not owner and called in FORBIDDEN_BUILTINS):
        yield f"{node.lineno}: calls {called}"
    is_query = attribute in EXECUTORS or (owner, called) == ("sql", "SQL")
    if is_query and node.args and is_built_from_text(node.args[0], names):
        yield f"{node.lineno}: formats the text of a query"


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
        "import pickle",
        "from marshal import loads",
        "import shelve as s",
        "yaml.load(text)",
        "eval(text)",
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
    f"postgresql:/user:{CANARY}@host/db",
    f"mysql://user:{CANARY}@host/db",
    f"host=h password=two {CANARY} dbname=x",
    f"host=h password='{CANARY} dbname=x",
    f"host=h password={CANARY} port=abc",
    f"host=h dbname=postgresql://user:{CANARY}@h/x",
    f"host=user:{CANARY}@h dbname=x",
    f"host=h {CANARY}=password",
    f"host=h sslmode={CANARY}",
    f"postgresql://user:{CANARY}@host/db?connect_timeout={CANARY}",
]


def everything_said(error: BaseException) -> str:
    """Give what any log, console or debugger of a user would show of an error."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    logger = logging.getLogger("canary")
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
