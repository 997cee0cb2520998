"""A burst: a backlog that running workers drain, for scenarios that measure in between."""

import time
from collections.abc import Callable

from benchmarks.errors import NotCompleted
from benchmarks.running import Site
from benchmarks.systems import OURS

BURST_SHARE = 4
PAUSE = "SELECT queueworker.queue_pause('bench', true)"
RESUME = "SELECT queueworker.queue_pause('bench', false)"
# Beside an old snapshot every dead row is counted through: this does not, and is as exact.
SUCCEEDED = """
    SELECT (SELECT coalesce(sum(succeeded), 0) FROM queueworker.queue_counter)
      + (SELECT coalesce(sum(succeeded), 0) FROM queueworker.stat)
"""
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
        goal = place.count(SUCCEEDED) + waiting
        started_s = time.time()
        place.conn.execute(RESUME)
        _await(place, lambda: place.count(SUCCEEDED) >= goal)
    else:
        place.start_workers(processes)
        started_s = place.first_start_s()
        _await(place, lambda: not place.count(place.system.unfinished))
    rate_per_s = waiting / (time.time() - started_s)
    if left := place.count(place.system.unfinished):
        raise NotCompleted(f"{left} jobs of the burst are left")
    return rate_per_s


def _await(place: Site, is_done: Callable[[], bool]) -> None:
    while not is_done():
        place.check_workers()
        time.sleep(POLL_S)
