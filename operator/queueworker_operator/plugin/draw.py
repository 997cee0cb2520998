"""PURE: a tree for a terminal. Colour repeats what the words say; each line breaks where it must."""

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from queueworker_operator.plugin.tree import Branch, Leaf, Load, PodState, age

MOST_MARKS = 20
STYLES = {PodState.READY: "green", PodState.STARTING: "yellow", PodState.ENDING: "magenta"}
LIVE = 3.0  # renewals come each few seconds: less than this is a lease that is about to end


def forest_of(branches: list[Branch]) -> RenderableType:
    """Draw several."""
    return Group(*map(tree_of, branches))


def tree_of(branch: Branch) -> Tree:
    """Draw one."""
    tree = Tree(
        Text.assemble(
            (branch.name, "bold"),
            "  ",
            (branch.ready, "green" if branch.ready == "Ready" else "bold red"),
            f", {branch.mode}  {branch.backlog}  {branch.reason}",
        )
    )
    inner = tree.add(Text(f"deployment {branch.deployment}: {branch.replicas}"))
    width = max((len(leaf.pod) for leaf in branch.pods), default=0)
    for leaf in branch.pods:
        inner.add(_line(leaf, width, read=not branch.trouble))
    if branch.trouble:
        tree.add(Text(branch.trouble, style="red"))
    return tree


def _line(leaf: Leaf, width: int, *, read: bool) -> Text:
    """Draw a pod; `read`: the database was asked which workers it has."""
    state = f"{leaf.state} {age(leaf.age_s)}"
    line = Text.assemble(f"{leaf.pod:<{width}}  ", (f"{state:<12}", STYLES[leaf.state]))
    if leaf.worker is not None:
        line.append_text(_held(leaf.worker))
    elif read and leaf.state is PodState.READY:
        line.append("  no worker registered", style="yellow")
    if leaf.killed_in_s is not None:
        line.append(f"  SIGKILL in {leaf.killed_in_s:.0f}s", style="magenta")
    line.rstrip()
    return line


def _held(load: Load) -> Text:
    marks = ""
    if 0 < load.slots <= MOST_MARKS:
        marks = f"[{'#' * load.busy}{'.' * max(0, load.slots - load.busy)}] "
    text = Text(f"  {marks}{load.busy}/{load.slots} slots")
    if load.held:
        text.append(f", {load.held} held")
    if load.oldest_job_s is not None:
        text.append(f", oldest {age(load.oldest_job_s)}")
    near = "bold red" if load.lease_left_s < LIVE else ""
    text.append("  lease ")
    text.append(f"{load.lease_left_s:.0f}s", style=near)
    if load.drains:
        text.append(f"  {_drains(load)}", style="magenta")
    return text


def _drains(load: Load) -> str:
    """Say for how long it has drained; of how much, while jobs of it run."""
    words = ["drains" if load.busy else "drained"]
    if load.drains_for_s is not None:
        words.append(age(load.drains_for_s))
        if load.busy and load.drain_patience_s is not None:
            words.append(f"(of {age(load.drain_patience_s)})")
    return " ".join(words)
