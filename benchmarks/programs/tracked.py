"""A stream of tracked jobs for the scenarios with kills and restarts: each takes a little time."""

import asyncio
import json
import random
import signal
import sys
import time

from benchmarks.programs.queueworker_tasks import app, tracked

TICK_S = 0.02


async def main(rate_per_s: float, seconds: float, nap_s: float) -> None:
    """Enqueue at a rate that waits for nobody, until the end or SIGTERM; print how many were committed."""
    begun_s, sent, stop = time.perf_counter(), 0, asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with app:
        while (elapsed_s := time.perf_counter() - begun_s) < seconds and not stop.is_set():
            due = int(elapsed_s * rate_per_s) - sent
            if due > 0:
                now_s = time.time()
                naps_s = [random.uniform(0.2, 1.8) * nap_s for _ in range(due)]  # noqa: S311
                await app.enqueue_many([tracked(at=now_s, nap_s=nap) for nap in naps_s])
                sent += due
            await asyncio.sleep(TICK_S)
    sys.stdout.write(json.dumps({"jobs": sent}) + "\n")


if __name__ == "__main__":
    asyncio.run(main(*map(float, sys.argv[1:])))
