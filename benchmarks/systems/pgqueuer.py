"""PGQueuer, from PyPI."""

from benchmarks.environment import python_environment
from benchmarks.systems.system import Command, System, Tuning

VERSION = "1.6.0"
PACKAGES = (f"pgqueuer[asyncpg]=={VERSION}", "asyncpg==0.32.0", "uvloop==0.23.0")
UNFINISHED = "SELECT count(*) FROM pgqueuer"
FAILED = "SELECT count(*) FROM pgqueuer_log WHERE status NOT IN ('queued', 'picked', 'successful')"


def system(tuning: Tuning) -> System:
    """Describe it with two runners of 500 jobs a batch (best), or one of ten (default)."""
    python = str(python_environment("pgqueuer", PACKAGES))
    program = (python, "-m", "benchmarks.programs.pgqueuer_program")
    best = tuning is Tuning.BEST
    return System(
        name="pgqueuer",
        tuning=tuning,
        version=VERSION,
        settings=(
            "asyncpg, uvloop, 2 x run(batch_size=500)"
            if best
            else "asyncpg, uvloop, run(batch_size=10)"
        )
        + ", autovacuum as it recommends",
        install=(Command(arguments=(*program, "install")),),
        worker=Command(arguments=(*program, "work", *(("500", "2") if best else ("10", "1")))),
        producer=Command(arguments=program),
        unfinished=UNFINISHED,
        failed=FAILED,
        drain_jobs=80_000 if best else 10_000,
    )
