"""Parse, run, and turn every error into one line that says what to do."""

import argparse
import io
import os
import re
import sys
from collections.abc import Sequence

from queueworker.cli.parser import build_parser
from queueworker.errors import InvalidSetting, PermissionDenied, QueueWorkerError
from queueworker.settings import Settings

FAILED = 1
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; give the exit status: 0, 1 for an error, 2 for wrong usage."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # ? for what a terminal has no character for
    parsed = build_parser().parse_args(arguments)
    try:
        if getattr(parsed, "needs_queue", False) and parsed.queue is None:
            raise InvalidSetting("say which queue: NAME, or --queue NAME")
        status: int = parsed.run(parsed)
        sys.stdout.flush()
    except QueueWorkerError as exc:
        sys.stderr.write(f"queueworker: {' '.join(_told(exc, parsed).split())}\n")
        sys.stderr.writelines(f"{note}\n" for note in getattr(exc, "__notes__", ()))
        return FAILED
    except BrokenPipeError:
        # The reader (`| head`) has gone; Python would complain at exit while flushing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _told(exc: QueueWorkerError, parsed: argparse.Namespace) -> str:
    """Say what is wrong; of a missing right, which role has it that this command needs."""
    role = getattr(parsed, "role", None)
    if not isinstance(exc, PermissionDenied) or not exc.lacking or role is None:
        return str(exc)
    dsn = Settings.from_env().dsn
    user = "" if dsn is None else dsn.parameters.get("user", "")
    quoted = user if re.fullmatch(r"[a-z_][a-z0-9_]*", user) else f'"{user}"'
    return (
        f"{exc.lacking}; run as the schema's owner: GRANT {role} TO {quoted if user else 'it'}"
        " (where no such role exists: queueworker migrate --create-roles)"
    )
