"""Graphile Worker, from npm."""

import json
from pathlib import Path

from benchmarks.environment import node_environment
from benchmarks.systems.system import Command, System, Tuning

VERSION = "0.17.3"
PACKAGES = (f"graphile-worker@{VERSION}", "pg@8.23.1")
PROGRAM = str(Path(__file__).parents[1] / "programs" / "graphile.mjs")
BEST = {
    "concurrentJobs": 10,
    "maxPoolSize": 12,
    "localQueue": {"size": 500, "refetchDelay": {"durationMs": 10}},
    "completeJobBatchDelay": 0,
    "failJobBatchDelay": 0,
}
UNFINISHED = "SELECT count(*) FROM graphile_worker._private_jobs"
FAILED = f"{UNFINISHED} WHERE attempts >= max_attempts"


def system(tuning: Tuning) -> System:
    """Describe it with a local queue and batched completion (best), or with an empty preset."""
    modules = str(node_environment("graphile", PACKAGES))
    best = tuning is Tuning.BEST
    preset = json.dumps(BEST if best else {})
    places = {"BENCH_MODULES": modules}
    return System(
        name="graphile",
        tuning=tuning,
        version=VERSION,
        settings=preset if best else "as installed (one job at once, no local queue)",
        install=(Command(arguments=("node", PROGRAM, "install"), environment=places),),
        worker=Command(arguments=("node", PROGRAM, "work", preset), environment=places),
        producer=Command(arguments=("node", PROGRAM), environment=places),
        unfinished=UNFINISHED,
        failed=FAILED,
        drain_jobs=300_000 if best else 4_000,
    )
