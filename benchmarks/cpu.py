"""CPU time of process trees and of the machine, from /proc (Linux)."""

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PARENT, FIRST_TIME, LAST_TIME = 1, 11, 15  # places after the command's closing bracket
IDLE, WAITING = 3, 4  # places in the first line of /proc/stat
STEAL = 7


def trees_cpu_s(roots: Iterable[int]) -> float:
    """Give the CPU seconds of these processes and of all they started, ended children included."""
    children: dict[int, list[int]] = defaultdict(list)
    ticks: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            fields = _stat(int(entry.name))
            if fields:
                pid = int(entry.name)
                children[int(fields[PARENT])].append(pid)
                # The last two are those of children that ended and were waited for.
                ticks[pid] = sum(map(int, fields[FIRST_TIME:LAST_TIME]))
    total, waiting = 0, list(roots)
    while waiting:
        pid = waiting.pop()
        total += ticks.get(pid, 0)
        waiting += children.get(pid, ())
    return total / TICKS_PER_S


def own_cpu_s(pid: int) -> float:
    """Give the CPU seconds of one process without its children; 0 when it has ended."""
    fields = _stat(pid)
    return sum(map(int, fields[FIRST_TIME : FIRST_TIME + 2])) / TICKS_PER_S if fields else 0.0


def machine_busy_s() -> float:
    """Give the seconds that all cores together were busy, or taken away by the hypervisor."""
    line = Path("/proc/stat").read_text().split("\n", 1)[0]
    times = [int(part) for part in line.split()[1 : STEAL + 2]]
    return (sum(times) - times[IDLE] - times[WAITING]) / TICKS_PER_S


def resident_bytes(pid: int) -> int:
    """Give the resident memory of one process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()
