"""pg-boss, from npm."""

import json
from pathlib import Path

from benchmarks.environment import node_environment
from benchmarks.systems.system import Command, System, Tuning

VERSION = "10.4.2"
PACKAGES = (f"pg-boss@{VERSION}", "pg@8.23.1")
PROGRAM = str(Path(__file__).parents[1] / "programs" / "pgboss.mjs")
BEST = {"fetchers": 2, "batchSize": 2000, "idleMs": 500}
UNFINISHED = "SELECT count(*) FROM pgboss.job WHERE name = 'bench' AND state < 'completed'"
FAILED = "SELECT count(*) FROM pgboss.job WHERE name = 'bench' AND state > 'completed'"


def system(tuning: Tuning) -> System:
    """Describe it with fetch and complete in batches (best), or with `work()` (one job in 2 s)."""
    modules = str(node_environment("pgboss", PACKAGES))
    best = tuning is Tuning.BEST
    places = {"BENCH_MODULES": modules}
    work = json.dumps(BEST) if best else "default"
    return System(
        name="pgboss",
        tuning=tuning,
        version=VERSION,
        settings=(
            "2 x fetch(batchSize 2000) and complete(ids), 0.5 s poll when empty"
            if best
            else "work(): one job a fetch, polls every 2 s"
        ),
        install=(Command(arguments=("node", PROGRAM, "install"), environment=places),),
        worker=Command(arguments=("node", PROGRAM, "work", work), environment=places),
        producer=Command(arguments=("node", PROGRAM), environment=places),
        unfinished=UNFINISHED,
        failed=FAILED,
        drain_jobs=100_000 if best else 5,
    )
