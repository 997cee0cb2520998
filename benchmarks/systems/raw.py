"""Not a queue: plain inserts into a table with the product's columns and indexes."""

import sys

from benchmarks.systems import queueworker
from benchmarks.systems.system import Command, System, Tuning

PROGRAM = (sys.executable, "-m", "benchmarks.programs.raw_program")


def system() -> System:
    """Describe the baseline of enqueues; it has no worker."""
    ours = queueworker.system(Tuning.BEST)
    return System(
        name="raw INSERT",
        tuning=Tuning.BEST,
        version="",
        settings="psycopg, prepared; the columns and indexes of queueworker's own table",
        install=(*ours.install, Command(arguments=(*PROGRAM, "install"))),
        worker=Command(arguments=()),
        producer=Command(arguments=PROGRAM),
        unfinished="SELECT count(*) FROM raw_job",
        failed="SELECT 0",
        drain_jobs=0,
        enqueues=("single", "batch", "copy"),
    )
