"""`kubectl queueworker`: look at QueueWorkers by kubectl's own kubeconfig and context."""

import argparse
from collections.abc import Sequence
from importlib.metadata import version

from queueworker_operator.cli import compare, explain
from queueworker_operator.cli.ending import run_to_end
from queueworker_operator.cli.output import add_output
from queueworker_operator.plugin import commands
from queueworker_operator.plugin.doctor import command as diagnosis

PROGRAM = "kubectl queueworker"
DOCTOR_EXAMPLES = """\
examples:
  kubectl queueworker doctor mail
  kubectl queueworker doctor -n shop -o json | jq '.[].findings[] | select(.level != "OK")'
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; give the exit code. Expected failures are one line on stderr."""
    return run_to_end(build_parser().parse_args(arguments), PROGRAM)


def build_parser() -> argparse.ArgumentParser:
    """Describe all commands."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Look at QueueWorkers: what they have, how they do, and why.",
    )
    parser.add_argument(
        "--version", action="version", version=f"{PROGRAM} {version('queueworker')}"
    )
    several = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_looks(several)
    _add_stories(several)
    return parser


def _add_looks(several: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe what shows how things stand now."""
    get = several.add_parser(
        "get",
        help="show QueueWorkers with their Deployments, pods and what the pods hold",
        description="Show QueueWorkers, their Deployments, and each pod with the jobs that its "
        "worker holds. Without names all of the namespace.",
    )
    get.add_argument("name", nargs="*", metavar="NAME")
    get.add_argument("-A", "--all-namespaces", action="store_true", help="of the whole cluster")
    _add_access(get)
    add_output(get)
    get.set_defaults(run=commands.get)
    _add_doctor(several)
    status = several.add_parser(
        "status",
        help="tell how a QueueWorker does: promise, backlog, decision, conditions",
        description="Tell how a QueueWorker does, from its status alone.",
    )
    _add_one(status)
    add_output(status)
    status.set_defaults(run=commands.status)


def _add_doctor(several: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    doctor = several.add_parser(
        "doctor",
        help="look for what is wrong, from the definition to the indexes, with remedies",
        description="Judge QueueWorkers, their Deployments, the operator and the database by 20 "
        "checks. Without names all of the namespace. The exit code is 1 where one says FAIL; what "
        "could not be read is UNKNOWN.",
        epilog=DOCTOR_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    doctor.add_argument("name", nargs="*", metavar="NAME")
    _add_access(doctor)
    add_output(doctor)
    doctor.set_defaults(run=diagnosis.run)


def _add_stories(several: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe what tells how it came about."""
    why = several.add_parser(
        "why",
        help=explain.PURPOSE,
        description="Show its recorded decisions, newest last; with --decision one of them, "
        "worked out by hand.",
    )
    _add_one(why)
    explain.add_flags(why)
    why.set_defaults(run=commands.why)
    compared = several.add_parser("compare", help=compare.PURPOSE, description=compare.ABOUT)
    _add_one(compared)
    compare.add_flags(compared)
    compared.set_defaults(run=commands.compared)


def _add_one(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    _add_access(parser)


def _add_access(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--namespace", metavar="NS", help="(default: the context's)")
    parser.add_argument("--context", help="of the kubeconfig (default: the current one)")
    parser.add_argument(
        "--kubeconfig", metavar="FILE", help="(default: KUBECONFIG, ~/.kube/config)"
    )
    parser.add_argument(
        "--dsn", help="of the queues' database (default: from the Secret that the resource names)"
    )
