"""One-machine mode from start to summary; leaves nothing running."""

import asyncio
import fcntl
import json
import logging
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from rich.console import Console

from queueworker_operator.errors import InvalidSettings
from queueworker_operator.local.database import (
    migrate,
    run_scripts,
    scripts_of,
    start_database,
    stop_database,
)
from queueworker_operator.local.ending import headline, print_summary, subline
from queueworker_operator.local.plan import (
    DATABASE_FOLDER,
    LOG_FOLDER,
    Options,
    Plan,
    make_plan,
    workspace,
)
from queueworker_operator.local.plot import draw
from queueworker_operator.local.stage import Stage
from queueworker_operator.local.summary import Summary, to_json
from queueworker_operator.local.view import NoteStream

LOCK_FILE = "lock"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def run_local(options: Options, environment: Mapping[str, str], console: Console) -> int:
    """Run the manifests of a folder; give the exit code: 0 when every job ran exactly once.

    Raises:
        OperatorError: it cannot be run; the message is one line with the remedy.
    """
    plan = make_plan(options, environment)
    if plan.manifests.ignored:
        console.print(f"ignored on one machine: {', '.join(plan.manifests.ignored)}", style="dim")
    with workspace(plan) as folder, alone_in(folder):
        stop = asyncio.Event()
        with _stopping(stop.set):
            async with _database(plan, folder, console) as dsn:
                stage = Stage(plan, dsn, folder / LOG_FOLDER, console)
                with _stopping(lambda: _stop_or_kill(stop, stage)), _logging_to(stage.note):
                    summary = await stage.play(stop)
        _write(options, summary, stage)
        print_summary(console, summary)
        if options.plot_file is not None:
            console.print(f"plot: {options.plot_file}", highlight=False)
        if plan.replay is not None and not (summary.is_good or summary.interrupted):
            _keep_output(folder, console)
    return 0 if summary.is_good else 1


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep others out of `folder`: its database ends with this run.

    Raises:
        InvalidSettings: another run is there.
    """
    with (folder / LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InvalidSettings(
                f"another `local` runs in {folder.parent}: end it, or run a copy of the folder"
            ) from None
        yield


@asynccontextmanager
async def _database(plan: Plan, folder: Path, console: Console) -> AsyncIterator[str]:
    """Give the DSN of a migrated database; an embedded one is stopped afterwards."""
    path = folder / DATABASE_FOLDER
    dsn = plan.options.dsn
    if dsn is None:
        console.print("starting Postgres ...", style="dim")
    try:
        address = dsn or await start_database(path, plan.environment)
        await migrate(address, plan.environment)
        await run_scripts(address, scripts_of(plan.manifests.folder))
        yield address
    finally:
        if dsn is None:
            await stop_database(path, plan.environment)


@contextmanager
def _stopping(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on Ctrl-C, SIGTERM and the terminal's end."""
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, lambda: None)  # what is left takes a second


def _stop_or_kill(stop: asyncio.Event, stage: Stage) -> None:
    """Drain at the first signal, kill the pods at the second."""
    if stop.is_set():
        stage.note("killing the workers")
        stage.kill()
    else:
        stop.set()


@contextmanager
def _logging_to(note: Callable[[str], None]) -> Iterator[None]:
    """Show warnings in the view."""
    handler = logging.StreamHandler(NoteStream(note=note))
    handler.setLevel(logging.WARNING)
    root = logging.getLogger()
    before = root.handlers[:]
    root.handlers[:] = [handler]
    try:
        yield
    finally:
        root.handlers[:] = before


def _write(options: Options, summary: Summary, stage: Stage) -> None:
    if options.json_file is not None:
        options.json_file.write_text(json.dumps(to_json(summary), indent=2) + "\n")
    if options.plot_file is not None:
        options.plot_file.write_text(
            draw(
                stage.points(),
                title=headline(summary),
                subtitle=subline(summary),
                start_within_s=summary.start_within_s,
            )
        )


def _keep_output(folder: Path, console: Console) -> None:
    """Keep the workers' output where it may explain a failure."""
    kept = Path(tempfile.mkdtemp(prefix="queueworker-logs-"))
    shutil.copytree(folder / LOG_FOLDER, kept, dirs_exist_ok=True)
    console.print(f"the workers' output is in {kept}", highlight=False)
