"""What `kubectl queueworker` understands, and the help that teaches it."""

import argparse
from importlib.metadata import version

from queueworker_operator.plugin import dead, drain, get, mode, simulate, status, stories
from queueworker_operator.plugin.command import PROGRAM, add_place
from queueworker_operator.plugin.doctor import command as doctor

EPILOG = """\
examples:
  kubectl queueworker get --watch        what is there, drawn again each second
  kubectl queueworker why mail           why it has so many pods
  kubectl queueworker doctor             what is wrong, and the command that mends it
"""


def build_parser() -> argparse.ArgumentParser:
    """Describe all commands."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Look at QueueWorkers: what they have, how they do, and why.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action="version", version=f"{PROGRAM} {version('queueworker')}"
    )
    add_place(parser.add_argument_group("cluster, before the command or after it"))
    several = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in (get, status, stories, doctor, dead, simulate, mode, drain):
        module.add_to(several)
    return parser
