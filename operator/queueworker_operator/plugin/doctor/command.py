"""`kubectl queueworker doctor`: judge, show, and say with the exit code whether something is broken."""

import argparse
import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from textwrap import wrap

from rich.text import Text

from queueworker_operator.cli.output import print_document
from queueworker_operator.cli.screen import NARROWEST, console
from queueworker_operator.plugin.access import Access, bodies_of, plain
from queueworker_operator.plugin.command import Commands, Help, add_command
from queueworker_operator.plugin.doctor.checks import examine
from queueworker_operator.plugin.doctor.finding import Finding, Level
from queueworker_operator.plugin.doctor.gather import cluster_facts, facts_of, neighbours_of
from queueworker_operator.text import counted

Findings = tuple[Finding, ...]
STYLES = {
    Level.OK: "green",
    Level.WARN: "yellow",
    Level.FAIL: "bold red",
    Level.UNKNOWN: "magenta",
}
LEVEL_WIDTH, CHECK_WIDTH = 9, 14


def add_to(several: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        several,
        "doctor",
        run,
        Help(
            purpose="look for what is wrong, from the definition to the indexes, with remedies",
            about=(
                "Judge QueueWorkers, their Deployments, the operator and the database by 21 checks. Without "
                "names all of the namespace. The exit code is 1 where one says FAIL; what could not be read "
                "is UNKNOWN."
            ),
            examples=(
                "doctor mail",
                "doctor -n shop -o json | jq '.[].findings[] | select(.level != \"OK\")'",
            ),
        ),
    )
    parser.add_argument("name", nargs="*", metavar="NAME")


def run(arguments: argparse.Namespace) -> int:
    """Print what was found; 1 when a check failed."""
    access = Access.of(arguments)
    names = [plain(name) for name in arguments.name]
    found = asyncio.run(examined(access, names))
    if arguments.output == "table":
        show(found, access.namespace)
    else:
        print_document(
            [
                {
                    "name": key,
                    "findings": [asdict(one) for one in findings],
                }
                for key, findings in found.items()
            ],
            arguments.output,
        )
    return int(any(one.level is Level.FAIL for findings in found.values() for one in findings))


async def examined(access: Access, names: Sequence[str]) -> dict[str, Findings]:
    """Judge the QueueWorkers of these names; without names all of the namespace."""
    async with access.client() as client:
        bodies = await bodies_of(client, access, names)
        cluster = await cluster_facts(client)
        neighbours = await neighbours_of(client, access.namespace)
        return {
            f"{access.namespace}/{body['metadata']['name']}": examine(
                await facts_of(client, access, neighbours.of(body, cluster))
            )
            for body in bodies
        }


def show(found: dict[str, Findings], namespace: str) -> None:
    """Print for people; a command stays in one line, so that it can be copied."""
    if not found:
        print(f"No QueueWorker in namespace {namespace}.")
    screen = console()
    for place, (key, findings) in enumerate(found.items()):
        if place:
            screen.print()
        screen.print(headline(key, findings), soft_wrap=True)
        for finding in findings:
            for line in lines_of(finding, max(NARROWEST, screen.width)):
                screen.print(line, soft_wrap=True)


def headline(key: str, findings: Findings) -> str:
    """Count by level."""
    counts = Counter(one.level for one in findings)
    told = ", ".join(f"{counts[level]} {level}" for level in Level if counts[level])
    return f"{key}: {counted(len(findings), 'check')}, {told}"


def lines_of(finding: Finding, width: int) -> Iterator[Text]:
    """Write one finding, and under it the remedy."""
    indent = LEVEL_WIDTH + CHECK_WIDTH
    first, *more = wrap(finding.said, width - indent, break_on_hyphens=False) or [""]
    yield Text.assemble(
        (f"{finding.level:<{LEVEL_WIDTH}}", STYLES[finding.level]),
        (f"{finding.check:<{CHECK_WIDTH}}", "bold"),
        first,
    )
    for line in more:
        yield Text(f"{'':<{indent}}{line}")
    if finding.remedy:
        yield Text.assemble(f"{'':<{LEVEL_WIDTH}}", ("-> ", STYLES[finding.level]), finding.remedy)
