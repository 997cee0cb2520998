"""Recovery: one of four workers is killed (-9) every two seconds, and replaced, under load.

Counted from the database's own record of completions: jobs lost, completions by a token that a
newer run had replaced, and how long after the kill an interrupted job starts again.
"""

import time
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from benchmarks.figures import percentile
from benchmarks.ledger import begin, judge, start_tracked
from benchmarks.running import Site, Start, await_empty, site
from benchmarks.scenario import Case, Options, Sample, Scenario, each_system
from benchmarks.server import Server
from benchmarks.span import Meter, foreign_load

SECONDS, RATE_PER_S, NAP_S, KILL_EVERY_S, WORKERS = 300.0, 200.0, 0.1, 2.0, 4


def measure(server: Server, case: Case, options: Options) -> Sample:
    """Kill in turn while jobs arrive, let all finish, judge."""
    seconds = options.duration_s or SECONDS
    rate_per_s = options.rate_per_s or RATE_PER_S
    with site(server, case.system) as place:
        begin(place, case.processes)
        meter = Meter(server, place.conn)
        before = meter.read()
        producer, number = start_tracked(place, rate_per_s, seconds, NAP_S)
        kills: dict[int, float] = {}
        while producer.poll() is None:
            time.sleep(KILL_EVERY_S)
            pid, at_s = kill_one(place)
            kills[pid] = at_s
        sent = int(place.result(producer, number)["jobs"])
        await_empty(place)
        after = meter.read()
        starts = place.starts()
        verdict = judge(place, sent, starts)
        dead = place.count(case.system.failed)
    reruns_s = rerun_times_s(starts, kills)
    return {
        "jobs": sent,
        "kills": len(kills),
        "lost": verdict.lost,
        "stale_accepted": verdict.stale_accepted,
        "completed_twice": verdict.completed_twice,
        "dead": dead,
        "interrupted": len(reruns_s),
        "rerun_p50_s": round(percentile(reruns_s, 0.5), 2) if reruns_s else 0,
        "rerun_p99_s": round(percentile(reruns_s, 0.99), 2) if reruns_s else 0,
        "rerun_max_s": round(max(reruns_s), 2) if reruns_s else 0,
        "foreign_load": foreign_load(before, after),
    }


def kill_one(place: Site) -> tuple[int, float]:
    """Kill a worker and start another in its place; give its pid and the time."""
    worker = place.workers.pop(0)
    at_s = time.time()
    worker.kill()
    worker.wait()
    place.start_workers(1)
    return worker.pid, at_s


def rerun_times_s(starts: Sequence[Start], kills: dict[int, float]) -> list[float]:
    """Give the time from each kill to the next start of the jobs that it interrupted.

    A job was interrupted when it started in the killed process and started again afterwards.
    """
    by_job: dict[int, list[Start]] = {}
    for start in sorted(starts, key=lambda one: one.started_at_s):
        by_job.setdefault(start.job_id, []).append(start)
    return [
        later.started_at_s - kills[first.pid]
        for runs in by_job.values()
        for first, later in pairwise(runs)
        if first.pid in kills
    ]


SCENARIO = Scenario(
    name="recovery",
    summary="kill -9 one of 4 workers every 2 s: lost, stale completions, time to rerun",
    cases=partial(each_system, processes=(WORKERS,)),
    measure=measure,
    repeats=1,
    with_rivals=False,
)
