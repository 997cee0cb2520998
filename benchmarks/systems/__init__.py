"""The systems under test, one adapter a file."""

from benchmarks.errors import BenchmarkError
from benchmarks.systems import graphile, pgboss, pgqueuer, procrastinate, queueworker
from benchmarks.systems.system import Command, System, Tuning

OURS = "queueworker"
RIVALS = {
    "pgqueuer": pgqueuer.system,
    "graphile": graphile.system,
    "procrastinate": procrastinate.system,
    "pgboss": pgboss.system,
}

__all__ = ["OURS", "RIVALS", "Command", "System", "Tuning", "system"]


def system(name: str, tuning: Tuning) -> System:
    """Give a system with its environment built.

    Raises:
        BenchmarkError: no such system.
        RivalUnavailable: its packages cannot be installed.
    """
    if name == OURS:
        return queueworker.system(tuning)
    if name not in RIVALS:
        known = ", ".join(RIVALS)
        raise BenchmarkError(f"no rival is named {name!r}; --rivals takes {known}")
    return RIVALS[name](tuning)
