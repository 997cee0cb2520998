"""Parse, run, and turn every error into one line that says what to do."""

import os
import sys
from collections.abc import Sequence

from queueworker.cli.parser import build_parser
from queueworker.errors import QueueWorkerError

FAILED = 1
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; give the exit status: 0, 1 for an error, 2 for wrong usage."""
    parsed = build_parser().parse_args(arguments)
    try:
        status: int = parsed.run(parsed)
        sys.stdout.flush()
    except QueueWorkerError as exc:
        sys.stderr.write(f"queueworker: {' '.join(str(exc).split())}\n")
        sys.stderr.writelines(f"{note}\n" for note in getattr(exc, "__notes__", ()))
        return FAILED
    except BrokenPipeError:
        # The reader (`| head`) has gone; Python would complain at exit while flushing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return status
