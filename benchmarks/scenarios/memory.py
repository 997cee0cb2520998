"""Memory of a worker after some jobs; time of a cold import; mandatory dependencies."""

import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import requires

from benchmarks.cpu import resident_bytes
from benchmarks.running import await_empty, await_first_job, site
from benchmarks.scenario import Case, Options, Sample, Scenario
from benchmarks.server import Server
from benchmarks.systems import OURS, System

JOBS, IMPORTS = 20_000, 15
EVEN = "pass"
IMPORT = "import queueworker"
COMMAND = "import queueworker.cli.worker"


def cases(systems: Sequence[System], options: Options) -> list[Case]:
    """Give every system with one process."""
    return [Case(system=system) for system in systems if options.processes in {None, (1,)}]


def measure(server: Server, case: Case, options: Options) -> Sample:
    """Let one worker run some jobs, then read its memory."""
    jobs = options.jobs or min(JOBS, case.system.drain_jobs)
    with site(server, case.system) as place:
        place.start_workers(1)
        await_first_job(place)
        (worker,) = place.workers
        idle = resident_bytes(worker.pid)
        place.produce("fill", {"count": jobs, "batch": case.system.batch})
        await_empty(place)
        busy = resident_bytes(worker.pid)
    sample: Sample = {"rss_idle_mb": _mb(idle), "rss_mb": _mb(busy), "jobs": jobs}
    if case.system.name == OURS:
        start_ms = _median_ms(EVEN)
        sample["import_ms"] = round(_median_ms(IMPORT) - start_ms, 1)
        sample["worker_import_ms"] = round(_median_ms(COMMAND) - start_ms, 1)
        sample["dependencies"] = mandatory()
        sample["mandatory"] = len(sample["dependencies"])
    return sample


def mandatory() -> list[str]:
    """Name the packages that an installation without extras brings, the direct ones."""
    found = [one for one in requires("queueworker") or [] if "extra ==" not in one]
    return [re.split(r"[^A-Za-z0-9_.-]", one, maxsplit=1)[0] for one in found]


def _median_ms(program: str) -> float:
    times = []
    for _ in range(IMPORTS):
        begun_s = time.perf_counter()
        subprocess.run([sys.executable, "-I", "-c", program], check=True)
        times.append((time.perf_counter() - begun_s) * 1000)
    return statistics.median(times)


def _mb(size_bytes: int) -> float:
    return round(size_bytes / 2**20, 1)


SCENARIO = Scenario(
    name="memory",
    summary="a worker's memory, the time of a cold import, mandatory dependencies",
    cases=cases,
    measure=measure,
)
