"""Notice a shell that stands between Kubernetes and the worker, and keeps SIGTERM to itself."""

import os
from pathlib import Path

SHELLS = frozenset({"sh", "bash", "dash", "ash", "busybox", "zsh", "ksh"})


def shell_between(own_pid: int, parent_pid: int, first_name: str) -> str | None:
    """Say what is wrong when PID 1 is a shell that started this worker; None when all is well."""
    if own_pid == 1 or parent_pid != 1 or first_name not in SHELLS:
        return None
    return (
        f"PID 1 is `{first_name}`, which does not pass SIGTERM on: this worker would be killed"
        " without a drain; use the exec form, command: ['queueworker', 'worker', ...],"
        " or put `exec` before the command"
    )


def look_for_shell() -> str | None:
    """Look at this process."""
    try:
        first_name = Path("/proc/1/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return shell_between(os.getpid(), os.getppid(), first_name)
