"""A burst: a backlog that running workers drain, for scenarios that measure in between."""

import time

from benchmarks.running import Site
from benchmarks.systems import OURS

BURST_SHARE = 4
PAUSE = "SELECT queueworker.queue_pause('bench', true)"
RESUME = "SELECT queueworker.queue_pause('bench', false)"
POLL_S = 0.01


def burst(place: Site, jobs: int | None = None) -> float:
    """Fill while nobody claims, then let the workers drain; give jobs per second.

    The product's queue is paused meanwhile, so that its workers keep what they have learned;
    others' workers are started anew.
    """
    count = jobs or place.system.drain_jobs // BURST_SHARE
    processes = len(place.workers)
    if place.system.name == OURS:
        place.conn.execute(PAUSE)
    else:
        place.stop_workers()
        for path in place.folder.glob("started.*"):
            path.unlink()
    place.produce("fill", {"count": count, "batch": place.system.batch})
    waiting = place.count(place.system.unfinished)
    if place.system.name == OURS:
        started_s = time.time()
        place.conn.execute(RESUME)
    else:
        place.start_workers(processes)
        started_s = place.first_start_s()
    while place.count(place.system.unfinished):
        place.check_workers()
        time.sleep(POLL_S)
    return waiting / (time.time() - started_s)
