"""`queueworker-operator local`: the manifests of a folder, run on this machine."""

import argparse
import asyncio
import os
from pathlib import Path
from typing import Any

from rich.console import Console

from queueworker_operator.local.plan import Options
from queueworker_operator.local.run import run_local

DESCRIPTION = """\
Runs the manifests of a folder on this machine: an embedded Postgres, processes in place of pods,
the same decisions and the same drain as in a cluster. The Deployment's command runs in that folder
and finds its modules there; PYTHONPATH adds other folders. Ctrl-C drains and stops."""
EXAMPLES = """examples:
  queueworker-operator local examples/demo
  PYTHONPATH="$PWD" queueworker-operator local deploy/    (tasks beside deploy/, not in it)
"""


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "local",
        help="run the Deployments and QueueWorkers of a folder on this machine",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXAMPLES,
    )
    parser.add_argument(
        "folder",
        metavar="DIR",
        type=Path,
        help="folder of the manifests: a Deployment and a QueueWorker",
    )
    parser.add_argument("--dsn", help="use this database instead of the embedded one")
    parser.add_argument("--trace", type=Path, metavar="CSV", help="enqueue jobs as in this trace")
    parser.add_argument(
        "--time-scale", type=float, metavar="X", help="0.2 replays a trace five times faster"
    )
    parser.add_argument("--task", metavar="NAME", help="the task that a trace's jobs call")
    parser.add_argument(
        "--exit-when-done",
        action="store_true",
        help="end when all jobs are finished and the workers have scaled in (a minute at most)",
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the summary as JSON")
    parser.add_argument("--plot", type=Path, metavar="OUT.svg", help="draw the run")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the subcommand and give its exit code."""
    options = Options(
        folder=arguments.folder,
        dsn=arguments.dsn,
        trace=arguments.trace,
        time_scale=arguments.time_scale,
        task=arguments.task,
        exit_when_done=arguments.exit_when_done,
        json_file=arguments.json,
        plot_file=arguments.plot,
    )
    return asyncio.run(run_local(options, os.environ, Console()))
