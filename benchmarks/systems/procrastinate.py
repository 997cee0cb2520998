"""Procrastinate, from PyPI."""

from benchmarks.environment import python_environment
from benchmarks.systems.system import Command, System, Tuning

VERSION = "3.10.0"
PACKAGES = (f"procrastinate=={VERSION}", "psycopg[binary,pool]==3.3.2", "uvloop==0.23.0")
UNFINISHED = "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
FAILED = (
    "SELECT count(*) FROM procrastinate_jobs WHERE status NOT IN ('todo', 'doing', 'succeeded')"
)
CONCURRENCY, POOL = "100", "40"


def system(tuning: Tuning) -> System:
    """Describe it with 100 jobs at once and a pool of 40 (best), or one job at once (default)."""
    python = str(python_environment("procrastinate", PACKAGES))
    program = (python, "-m", "benchmarks.programs.procrastinate_program")
    best = tuning is Tuning.BEST
    pool = {"BENCH_POOL": POOL} if best else {}
    return System(
        name="procrastinate",
        tuning=tuning,
        version=VERSION,
        settings=(
            f"concurrency {CONCURRENCY}, pool {POOL}, delete_jobs always, uvloop"
            if best
            else "concurrency 1, uvloop"
        ),
        install=(Command(arguments=(*program, "install")),),
        worker=Command(
            arguments=(*program, "work", CONCURRENCY if best else "default"), environment=pool
        ),
        producer=Command(arguments=program),
        unfinished=UNFINISHED,
        failed=FAILED,
        drain_jobs=4_000 if best else 1_000,
        enqueue_jobs=40_000,
    )
