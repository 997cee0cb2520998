"""What the commands share: a subparser with an example, and a store for one question."""

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from queueworker.errors import InvalidSetting
from queueworker.settings import Settings
from queueworker.store import COMMAND, Store, connect

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - has no public name
else:
    Commands = object

Answer = TypeVar("Answer")

# A line end stands between values only: inside a text it is written as \\n.
NUMBERS = re.compile(r"\[\n([^\[\]{}\"]*)\n *\]")


def add_command(
    commands: Commands, name: str, purpose: str, example: str = ""
) -> argparse.ArgumentParser:
    """Add a command whose help ends with an example."""
    epilog = f"example:\n  {example}" if example else None
    return commands.add_parser(
        name,
        help=purpose,
        description=f"{purpose[0].upper()}{purpose[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def ask(question: Callable[[Store], Awaitable[Answer]]) -> Answer:
    """Connect, ask the store, disconnect."""
    dsn = Settings.from_env().required_dsn

    async def run() -> Answer:
        conn = await connect(dsn, application_name="queueworker command", limits=COMMAND)
        try:
            return await question(Store(conn))
        finally:
            await conn.close()

    return asyncio.run(run())


def agreed(what: str) -> bool:
    """Ask a person whether to do it; refuse a script.

    Raises:
        InvalidSetting: nobody can answer.
    """
    if not sys.stdin.isatty():
        raise InvalidSetting(f"this would {what}; add --yes")
    return input(f"{what}? [y/N] ").strip().lower() in {"y", "yes"}


def table(rows: Sequence[Sequence[object]]) -> str:
    """Lay rows out in columns; numbers stand right."""
    texts = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(*texts, strict=True)]
    lines = [
        "  ".join(
            text.rjust(width) if isinstance(value, int | float) else text.ljust(width)
            for text, value, width in zip(line, row, widths, strict=True)
        ).rstrip()
        for line, row in zip(texts, rows, strict=True)
    ]
    return "\n".join(lines)


def to_json(value: object) -> str:
    """Write JSON; times and ids as text, a list of numbers on one line."""
    text = json.dumps(value, indent=2, default=str)
    return NUMBERS.sub(lambda match: f"[{' '.join(match[1].split())}]", text)


def _cell(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)
