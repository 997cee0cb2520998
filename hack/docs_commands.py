#!/usr/bin/env python3
"""Write the reference pages of the command lines, the metrics and the Python API from the code.

hack/docs_commands.py            write docs/reference/{cli,metrics,python}.md
hack/docs_commands.py --check    write nothing; exit 1 and name the pages that are not up to date
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from docs_python import python_page
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.registry import Collector

from queueworker import metrics as worker_metrics
from queueworker.cli.parser import build_parser as worker_parser
from queueworker_operator.cli import build_parser as operator_parser
from queueworker_operator.metrics import Metrics
from queueworker_operator.plugin import build_parser as plugin_parser

PAGES = Path(__file__).resolve().parents[1] / "docs" / "reference"
MADE = "<!-- Made by hack/docs_commands.py from the code. -->\n"
CLI_HEAD = """\
# The command lines
Every command has `--help`. A failure is one line on stderr with what to do next; the exit code is 1, or 2 for a wrong use.
"""
METRICS_HEAD = """\
# Metrics
Workers and the operator serve `/metrics` on their port. Gauges of a queue come from the operator alone: from workers they would
count once a pod.
"""


def commands(
    parser: argparse.ArgumentParser, purpose: str = ""
) -> Iterator[tuple[argparse.ArgumentParser, str]]:
    """Walk a parser's commands, the inner ones after their outer one."""
    yield parser, purpose
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            purposes = {choice.dest: choice.help for choice in action._choices_actions}  # noqa: SLF001
            for name, inner in action.choices.items():
                yield from commands(inner, purposes.get(name) or "")


def options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Give a table row an option."""
    for action in parser._actions:  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction | argparse._HelpAction):  # noqa: SLF001
            continue
        value = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
        shown = value if isinstance(value, str) else " ".join(value)
        flag = f"{', '.join(action.option_strings)} {shown}".strip()
        yield f"| `{flag}` | {(action.help or '').replace('|', chr(92) + '|')} |"


def command_page() -> str:
    """Describe all command lines."""
    parts = [MADE + CLI_HEAD]
    for parser in (worker_parser(), operator_parser(), plugin_parser()):
        for command, purpose in commands(parser):
            level = "##" if command is parser else "###"
            about = purpose or (command.description or "").split("\n")[0]
            rows = list(options(command))
            table = "| option | meaning |\n|---|---|\n" + "\n".join(rows) + "\n" if rows else ""
            head = f"{level} {command.prog}\n{about[:1].upper()}{about[1:]}.".replace("..", ".")
            parts.append(f"{head}\n\n{table}" if table else f"{head}\n")
    return "\n".join(parts)


def metric_rows(collector: Collector) -> Iterator[str]:
    """Give a table row a metric of ours."""
    for family in collector.collect():
        if family.name.startswith("queueworker_"):
            name = family.name + ("_total" if family.type == "counter" else "")
            yield f"| `{name}` | {family.type} | {family.documentation} |"


def metrics_page() -> str:
    """Describe all metrics."""
    head = "| metric | type | meaning |\n|---|---|---|\n"
    assert worker_metrics.JOBS  # noqa: S101 - importing it fills the default registry
    operator = CollectorRegistry()
    Metrics(operator)
    tables = [
        f"\n## {title}\n{head}" + "\n".join(sorted(metric_rows(registry))) + "\n"
        for title, registry in (("Worker", REGISTRY), ("Operator", operator))
    ]
    return MADE + METRICS_HEAD + "".join(tables)


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them."""
    made = {PAGES / "cli.md": command_page(), PAGES / "metrics.md": metrics_page()}
    made[PAGES / "python.md"] = MADE + python_page()
    if "--check" not in arguments:
        for path, text in made.items():
            path.write_text(text)
        return 0
    old = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    for path in old:
        print(f"{path.name} is not up to date: run make docs", file=sys.stderr)  # noqa: T201
    return int(bool(old))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
