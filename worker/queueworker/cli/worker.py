"""`queueworker worker`."""

import argparse
import asyncio
import atexit
import logging
import os
import sys
from contextlib import suppress
from dataclasses import replace
from typing import NoReturn

from queueworker.app import App
from queueworker.cli.command import Commands, add_command
from queueworker.cli.logs import configure_logging
from queueworker.errors import InvalidSetting
from queueworker.load import load_app
from queueworker.settings import LogFormat, QueueShare, Settings
from queueworker.worker import Worker

logger = logging.getLogger(__name__)


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "worker",
        "run jobs until SIGTERM, then drain",
        "queueworker worker --app shop.tasks:app --queue mail:3 --queue reports --concurrency 20",
    )
    parser.add_argument("--app", metavar="MODULE:APP", help="where the App is (QUEUEWORKER_APP)")
    parser.add_argument(
        "--queue",
        action="append",
        metavar="NAME[:WEIGHT][:max=N]",
        help="a queue to serve; a larger weight gets more of the slots, and max bounds how many;"
        " default: default (QUEUEWORKER_QUEUES)",
    )
    parser.add_argument(
        "--concurrency",
        type=int,
        metavar="N",
        help="jobs at once, 10 by default (QUEUEWORKER_CONCURRENCY)",
    )
    parser.add_argument(
        "--port",
        type=int,
        help="of /livez /readyz /metrics; 0 is any free one, 8080 the default (QUEUEWORKER_PORT)",
    )
    parser.add_argument(
        "--grace",
        type=float,
        metavar="SECONDS",
        help="from SIGTERM to SIGKILL: the pod's terminationGracePeriodSeconds; 30 by default"
        " (QUEUEWORKER_GRACE_S)",
    )
    parser.add_argument(
        "--log-format",
        choices=[kind.value for kind in LogFormat],
        help="text by default; json for containers (QUEUEWORKER_LOG_FORMAT)",
    )
    parser.set_defaults(run=run, role="queueworker_worker")


def run(arguments: argparse.Namespace) -> int:
    """Work until told to stop."""
    settings = _settings(arguments)
    configure_logging(settings.log_format)
    app = load_app(settings.app)
    if not list(app.tasks):
        raise InvalidSetting(f"the app {settings.app!r} has no task; import its task modules")
    _warn_of_other_queues(app, settings)

    async def work() -> bool:
        return await Worker(app, settings).run()

    _leave(0 if asyncio.run(work()) else 1)


def _leave(status: int) -> NoReturn:
    """End the process without taking the interpreter apart.

    That takes seconds on a starved machine, and the guard, which ends a worker before SIGKILL
    would, does not live through it. What was registered to run at the exit runs.
    """
    atexit._run_exitfuncs()  # noqa: SLF001 - there is no public one
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(status)


def _warn_of_other_queues(app: App, settings: Settings) -> None:
    served = [share.name for share in settings.queues]
    owned = sorted({task.options.queue for task in app.tasks})
    if not set(served) & set(owned):
        logger.warning(
            "no task of %s has its queue among: %s (they have: %s); see --queue",
            settings.app,
            ", ".join(served),
            ", ".join(owned),
        )


def _settings(arguments: argparse.Namespace) -> Settings:
    settings = Settings.from_env()
    given: dict[str, object] = {
        "app": arguments.app,
        "concurrency": _within(arguments.concurrency, "--concurrency", 1, 10_000),
        "port": _within(arguments.port, "--port", 0, 65_535),
        "grace_s": _within(arguments.grace, "--grace", 0, 86_400),
        "log_format": LogFormat(arguments.log_format) if arguments.log_format else None,
        "queues": _queues(arguments.queue),
    }
    changes = {name: value for name, value in given.items() if value is not None}
    settings = replace(settings, **changes)  # type: ignore[arg-type]  # names are fields
    if settings.required_dsn is None:
        raise AssertionError
    return settings


def _queues(texts: list[str] | None) -> tuple[QueueShare, ...] | None:
    if not texts:
        return None
    shares = tuple(QueueShare.parse(text) for text in texts)
    if len({share.name for share in shares}) < len(shares):
        raise InvalidSetting("--queue names a queue twice; give each queue once")
    return shares


def _within(value: float | None, flag: str, least: int, most: int) -> float | None:
    if value is not None and not least <= value <= most:
        raise InvalidSetting(f"{flag} {value:g} is not valid; give a number from {least} to {most}")
    return value
