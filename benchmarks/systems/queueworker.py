"""The product, as users run it: its command line, every feature on."""

import sys
from importlib.metadata import version

from benchmarks.systems.system import Command, System, Tuning

PYTHON = sys.executable
CONCURRENCY = "100"
UNFINISHED = "SELECT count(*) FROM queueworker.job"
FAILED = "SELECT count(*) FROM queueworker.dead_job"


def system(tuning: Tuning) -> System:
    """Describe the product with more slots and a declared queue (best), or with no flag at all."""
    best = tuning is Tuning.BEST
    command = (PYTHON, "-m", "queueworker")
    worker = (*command, "worker", "--app", "benchmarks.programs.queueworker_tasks:app")
    flags = ("--concurrency", CONCURRENCY) if best else ()
    create = (Command(arguments=(*command, "queue", "create", "bench")),) if best else ()
    return System(
        name="queueworker",
        tuning=tuning,
        version=version("queueworker"),
        settings=f"queue create, --concurrency {CONCURRENCY}" if best else "as installed",
        install=(Command(arguments=(*command, "migrate")), *create),
        worker=Command(arguments=(*worker, "--queue", "bench", "--port", "0", *flags)),
        producer=Command(arguments=(PYTHON, "-m", "benchmarks.programs.queueworker_program")),
        unfinished=UNFINISHED,
        failed=FAILED,
        drain_jobs=400_000,
        enqueues=("single", "batch", "function"),
    )
