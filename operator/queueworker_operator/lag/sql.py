"""The statements of this package, one a file."""

from functools import cache
from importlib.resources import files
from typing import LiteralString


@cache
def statement(name: str) -> LiteralString:
    """Read queries/NAME.sql, once a process."""
    return files(__package__).joinpath("queries", f"{name}.sql").read_text(encoding="utf-8")
