"""`python -m queueworker_operator` is `queueworker-operator`."""

import io
import sys
from importlib import import_module

INSTALL = "python -m pip install '.[operator]'"
HELP = """usage: queueworker-operator COMMAND ...

Scales workers of Postgres queues before jobs are late. The commands need the extra `operator`:
  run      the operator, in a cluster
  local    the same on one machine
  explain  why it decided as it did
  compare  what happened beside a DryRun with what would have
  simulate what it and others would have done with a trace
  record   the arrivals of live queues as such a trace
  convert  a KEDA ScaledObject into a QueueWorker
  completion  a script by which a shell completes all these"""


def main() -> int:
    """Run the command line; without the extra `operator`, say how to get it."""
    return run("queueworker_operator.cli")


def kubectl() -> int:
    """Run the plugin of kubectl, likewise."""
    return run("queueworker_operator.plugin")


def complete() -> int:
    """Complete the plugin's command line for kubectl, likewise."""
    return run("queueworker_operator.plugin.complete")


def run(package: str) -> int:
    """Run a package's `main`; its libraries may be missing."""
    try:
        run_command = import_module(package).main
    except ModuleNotFoundError as exc:
        missing = f"the module {exc.name!r} is missing; in your checkout: {INSTALL}"
        if {"-h", "--help"} & set(sys.argv[1:]):
            print(f"{HELP}\n\n{missing}")
            return 0
        print(f"queueworker-operator: {missing}", file=sys.stderr)
        return 1
    write_anyhow()
    return int(run_command())


def write_anyhow() -> None:
    """Write ? for what the terminal has no character for, instead of ending by an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
