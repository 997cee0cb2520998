"""All that a child process started, found and killed: also what left its session or its parent.

Descendants are found by their parents' ids, and by a mark in the environment that all of them
inherit: a grandchild that was orphaned (its parent exited, or crashed) has the mark alone. Where
there is no /proc (macOS), only the child's process group is killed.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
MARK = "QUEUEWORKER_CHILD"
MOST_PASSES = 10


def kill_tree(child: int, mark: str, *, has_ended: bool) -> list[int]:
    """Kill a child process and its descendants; give the pids of the descendants.

    The child is stopped first: what cannot run cannot start others meanwhile. The pid of a child
    that `has_ended` may be another's by now: only its group and its mark are looked for.
    """
    if not has_ended:
        _signal(child, signal.SIGSTOP)
    killed = kill_descendants(0 if has_ended else child, mark)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    if not has_ended:
        _signal(child, signal.SIGKILL)
    return killed


def kill_descendants(child: int, mark: str) -> list[int]:
    """Kill what is below `child` or carries its mark; give the pids.

    A pass may miss what a descendant starts during it, so there are passes until one finds nothing.
    """
    killed: set[int] = set()
    for _ in range(MOST_PASSES):
        found = descendants(child, mark) - killed
        if not found:
            break
        for pid in found:
            _signal(pid, signal.SIGKILL)
        killed |= found
    return sorted(killed)


def descendants(child: int, mark: str) -> set[int]:
    """Find the processes below `child`, and those that carry its mark; without `child` itself."""
    parents = dict(_parents())
    wanted = f"{MARK}={mark}\0".encode()
    found = {pid for pid in parents if wanted in _environment(pid)} if mark else set()
    found |= {pid for pid in parents if _is_below(pid, child, parents)}
    return found - {child, os.getpid()}


def reap(pids: list[int]) -> list[int]:
    """Take the exit status of killed orphans that fell to this process (PID 1); give the others."""
    return [pid for pid in pids if _is_pending(pid)]


def _is_pending(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        # Not ours: another process is the parent of orphans, or it is not dead yet.
        return os.getpid() == 1 and (PROC / str(pid)).exists()


def _is_below(pid: int, child: int, parents: dict[int, int]) -> bool:
    seen = 0
    while (parent := parents.get(pid)) is not None and seen <= len(parents):
        if parent == child:
            return True
        pid, seen = parent, seen + 1
    return False


def _parents() -> Iterator[tuple[int, int]]:
    for entry in PROC.glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            # The name in parentheses may hold anything, also parentheses.
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if fields[0] != "Z":
                yield int(entry.name), int(fields[1])


def _environment(pid: int) -> bytes:
    try:
        return (PROC / str(pid) / "environ").read_bytes() + b"\0"
    except OSError:
        return b""


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
