"""Rolling restarts: workers end by SIGTERM and are replaced, one after the other, under load."""

import signal
import subprocess
import time
from functools import partial

from benchmarks.figures import percentile
from benchmarks.ledger import begin, judge, start_tracked
from benchmarks.running import Site, await_empty, site
from benchmarks.scenario import Case, Options, Sample, Scenario, each_system
from benchmarks.server import Server
from benchmarks.span import Meter, foreign_load

RESTARTS, RATE_PER_S, NAP_S, WORKERS, GRACE_S = 1_000, 200.0, 0.1, 4, 30.0
READY_WITHIN_S, POLL_S = 30.0, 0.01
MUCH_LONGER_S = 100_000.0
LIVE = "SELECT count(*) FROM queueworker.worker"
FAILURES = "SELECT count(*) FROM queueworker.failure"


def measure(server: Server, case: Case, options: Options) -> Sample:
    """Restart in turn while jobs arrive, let all finish, judge."""
    restarts = options.size or RESTARTS
    rate_per_s = options.rate_per_s or RATE_PER_S
    with site(server, case.system) as place:
        begin(place, case.processes)
        meter = Meter(server, place.conn)
        before = meter.read()
        producer, number = start_tracked(place, rate_per_s, MUCH_LONGER_S, NAP_S)
        exits = [restart_one(place) for _ in range(restarts)]
        producer.send_signal(signal.SIGTERM)
        sent = int(place.result(producer, number)["jobs"])
        await_empty(place)
        after = meter.read()
        verdict = judge(place, sent, place.starts())
        failed = place.count(FAILURES) + place.count(case.system.failed)
    exits_s = [seconds for seconds, _ in exits]
    return {
        "jobs": sent,
        "restarts": len(exits),
        "lost": verdict.lost,
        "failed": failed,
        "run_twice": verdict.run_twice,
        "charged": verdict.charged,
        "stale_accepted": verdict.stale_accepted,
        "bad_exits": sum(code != 0 for _, code in exits),
        "past_grace": sum(seconds > GRACE_S for seconds in exits_s),
        "exit_p50_s": round(percentile(exits_s, 0.5), 3),
        "exit_p99_s": round(percentile(exits_s, 0.99), 3),
        "exit_max_s": round(max(exits_s), 3),
        "foreign_load": foreign_load(before, after),
    }


def restart_one(place: Site) -> tuple[float, int]:
    """End the oldest worker, start another, wait for its lease; give the time to exit, the code."""
    worker = place.workers.pop(0)
    begun_s = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    try:
        code = worker.wait(2 * GRACE_S)
    except subprocess.TimeoutExpired:
        worker.kill()
        code = worker.wait()
    exit_s = time.monotonic() - begun_s
    place.start_workers(1)
    ends_s = time.monotonic() + READY_WITHIN_S
    while place.count(LIVE) <= len(place.workers) - 1 and time.monotonic() < ends_s:
        place.check_workers()
        time.sleep(POLL_S)
    return exit_s, code


SCENARIO = Scenario(
    name="restarts",
    summary="rolling restarts under load: failed, run twice, attempts charged, time to exit",
    cases=partial(each_system, processes=(WORKERS,)),
    measure=measure,
    repeats=1,
    with_rivals=False,
)
