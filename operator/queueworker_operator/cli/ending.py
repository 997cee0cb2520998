"""How a command ends: with its code, or with one line that says what went wrong."""

import argparse
import logging
import os
import sys

from queueworker_operator.errors import InvalidSettings, OperatorError
from queueworker_operator.lag.foreign import trust_the_system


def run_to_end(parsed: argparse.Namespace, program: str) -> int:
    """Run the command that was asked for; give the exit code. Expected failures are one line."""
    # A command that shows no log keeps to its one line: Python would print warnings otherwise.
    logging.getLogger().addHandler(logging.NullHandler())
    trust_the_system(os.environ)
    try:
        return int(parsed.run(parsed))
    except OperatorError as exc:
        print(f"{program}: {' '.join(str(exc).split())}", file=sys.stderr)
        return 2 if isinstance(exc, InvalidSettings) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        sys.stderr.close()
        return 141
