"""The goals table of docs/explanation/simulated-proof.md, made from results/simulate.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.keda.page import BLOCK
from benchmarks.table import markdown

PAGE = Path("docs/explanation/simulated-proof.md")
WORDS = {True: "met", False: "**missed**", None: ""}


def fill(text: str, results: Mapping[str, Any]) -> str:
    """Give the page with its table as the results have it."""
    return BLOCK.sub(lambda block: f"{block[1]}{goals(results)}{block[3]}", text)


def goals(results: Mapping[str, Any]) -> str:
    """Show each goal with the figure reached, and how many are met."""
    rows = results["goals"]
    cells = [
        [row["goal"], row["setting"], row["bound"], row["figure"], WORDS[row["met"]]]
        for row in rows
    ]
    table = markdown(["goal", "setting", "bound", "here", ""], cells)
    met, missed = (sum(row["met"] is told for row in rows) for told in (True, False))
    about = f"`{results['command']}`, {len(results['workloads'])} cases, commit {results['commit']}"
    return f"{table}\n{met} goals are met, {missed} missed. {about}, {results['at']}.\n"
