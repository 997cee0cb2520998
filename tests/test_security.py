"""What no reviewer should have to look for: queries made from text, objects made from bytes."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

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
        case _:
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
