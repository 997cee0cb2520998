"""The database of one machine: started, migrated and stopped by the worker half's command line."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psycopg

from queueworker_operator.errors import InvalidSettings

WORKER_COMMAND = "queueworker"
DSN_VARIABLE = "QUEUEWORKER_DSN"


def with_commands(environment: Mapping[str, str]) -> dict[str, str]:
    """Give `environment` with the folder of this interpreter's commands first on its PATH."""
    folder = str(Path(sys.executable).parent)
    return {**environment, "PATH": f"{folder}:{environment.get('PATH', '')}"}


async def start_database(path: Path, environment: Mapping[str, str]) -> str:
    """Start the embedded Postgres whose files are in `path`, and give its DSN.

    Raises:
        InvalidSettings: it did not start; the message is the command's own.
    """
    return await run_worker_command(environment, "db", "start", "--path", str(path))


async def stop_database(path: Path, environment: Mapping[str, str]) -> None:
    """Stop the Postgres of `path`; its files stay."""
    await run_worker_command(environment, "db", "stop", "--path", str(path))


async def migrate(dsn: str, environment: Mapping[str, str]) -> None:
    """Bring the schema of `dsn` up to date.

    Raises:
        InvalidSettings: the database cannot be reached or refuses; the message says what to do.
    """
    await run_worker_command({**environment, DSN_VARIABLE: dsn}, "migrate")


def scripts_of(folder: Path) -> list[Path]:
    """List the `*.sql` files of `folder` by name: the application's own tables."""
    return sorted(folder.glob("*.sql"))


async def run_scripts(dsn: str, scripts: Sequence[Path]) -> None:
    """Run each script in a transaction of its own.

    Raises:
        InvalidSettings: one failed; names it and the database's complaint.
    """
    for script in scripts:
        try:
            async with await psycopg.AsyncConnection.connect(dsn) as connection:
                await connection.execute(script.read_bytes())
        except psycopg.Error as exc:
            complaint = exc.diag.message_primary or "the connection failed"
            raise InvalidSettings(f"{script.name}: {complaint}: mend the script") from exc


async def run_worker_command(environment: Mapping[str, str], *words: str) -> str:
    """Run `queueworker WORDS` and give what it printed.

    Raises:
        InvalidSettings: it is not installed, or it failed; the message is its own last line.
    """
    program = shutil.which(WORKER_COMMAND, path=environment.get("PATH"))
    if program is None:
        raise InvalidSettings(
            f"the command {WORKER_COMMAND} is missing; in your checkout:"
            " python -m pip install '.[embedded,operator]'"
        )
    process = await asyncio.create_subprocess_exec(
        program,
        *words,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C must not cut it half way
    )
    output, complaint = await process.communicate()
    if process.returncode:
        lines = complaint.decode(errors="replace").strip().splitlines() or ["no message"]
        raise InvalidSettings(lines[-1].removeprefix(f"{WORKER_COMMAND}: "))
    return output.decode().strip()
