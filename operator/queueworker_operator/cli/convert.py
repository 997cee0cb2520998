"""`queueworker-operator convert`: KEDA's ScaledObjects as QueueWorkers to look over."""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

import yaml

from queueworker_operator.cli.converted import KIND, Converted, convert
from queueworker_operator.documents import DEFAULT_NAMESPACE, documents
from queueworker_operator.errors import InvalidResource
from queueworker_operator.resource import GROUP, VERSION, parse

WIDTH = 100
EPILOG = """\
examples:
  queueworker-operator convert scaledobject.yaml > queueworker.yaml
  kubectl get scaledobjects,triggerauthentications,deployments -o yaml | queueworker-operator convert -

A file may hold several, and the TriggerAuthentications and Deployments that they name: the Secret
is found by them. What only you know stands on top of each QueueWorker; nothing is applied.
"""


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    """Describe the command and its flags."""
    parser = commands.add_parser(
        "convert",
        help="turn KEDA ScaledObjects of Postgres queues into QueueWorkers",
        description="Writes a QueueWorker for each ScaledObject with a postgresql trigger, with a "
        "comment on each field: where it comes from, and what a ScaledObject cannot tell.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="of ScaledObjects, or - for what is piped in")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the QueueWorkers of a file; a trouble with one is that of all."""
    file = Path("/dev/stdin" if arguments.file == "-" else arguments.file)
    bodies = list(documents(file))
    if any(body["kind"] == "ScaledJob" for body in bodies):
        raise InvalidResource(
            "a ScaledJob starts a Job for each message: run workers in a Deployment instead, which a "
            "QueueWorker scales"
        )
    wanted = [body for body in bodies if body["kind"] == KIND]
    if not wanted:
        raise InvalidResource(f"{arguments.file} holds no {KIND}: it is what convert reads")
    found = [convert(body, bodies) for body in wanted]
    for one in found:
        _check(one)
    sys.stdout.write("---\n".join("".join(f"{line}\n" for line in lines(one)) for one in found))
    return 0


def _check(found: Converted) -> None:
    """Hold the result to the rules of the resource."""
    meta = {"name": found.name, "namespace": found.namespace}
    try:
        parse({"metadata": meta, "spec": found.spec})
    except InvalidResource as exc:
        raise InvalidResource(f"{found.name} would be no valid QueueWorker: {exc}") from exc


def lines(found: Converted) -> Iterator[str]:
    """Write one for people to look over."""
    yield from _comment(f"From ScaledObject {found.name}, by queueworker-operator convert.", "")
    yield "# To be answered before it is applied:"
    for ask in found.asks:
        yield from _comment(f"- {ask}", "", hang=2)
    if found.dropped:
        yield "# Without a counterpart here:"
    for dropped in found.dropped:
        yield from _comment(f"- {dropped}", "", hang=2)
    yield f"apiVersion: {GROUP}/{VERSION}"
    yield "kind: QueueWorker"
    yield from _yaml({"metadata": _metadata(found)})
    yield "spec:"
    for field in found.fields:
        yield from _comment(field.why, "  ")
        yield from (f"  {line}" for line in _yaml({field.name: field.value}))


def _metadata(found: Converted) -> Mapping[str, str]:
    place = {} if found.namespace == DEFAULT_NAMESPACE else {"namespace": found.namespace}
    return {"name": found.name, **place}


def _comment(text: str, indent: str, hang: int = 0) -> Iterator[str]:
    first = f"{indent}# "
    later = first + " " * hang
    filled = fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )
    yield from filled.splitlines()


def _yaml(entry: Mapping[str, Any]) -> list[str]:
    return yaml.safe_dump(dict(entry), sort_keys=False, width=10 * WIDTH).splitlines()
