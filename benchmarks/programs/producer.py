"""Producers for the Python systems: the same loops for all, two calls of each system's own."""

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

Payload = dict[str, int | float]
WARM_UP_JOBS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Producer:
    """How a system enqueues one job of task `noop` or `stamp`, and many in one transaction."""

    single: Callable[[str, Payload], Awaitable[object]]
    many: Callable[[str, list[Payload]], Awaitable[object]]
    copy: Callable[[str, list[Payload]], Awaitable[object]] | None = None


Opened = AbstractAsyncContextManager[Producer]


def numbered(first: int, size: int) -> list[Payload]:
    """Give the payloads of one batch."""
    return [{"n": first + n} for n in range(size)]


async def fill(producer: Producer, count: int, batch: int) -> None:
    """Enqueue `count` jobs of `noop`, the quickest durable way."""
    for first in range(0, count, batch):
        size = min(batch, count - first)
        await producer.many("noop", numbered(first, size))


async def timed(producer: Producer, kind: str, count: int, batch: int) -> Payload:
    """Enqueue `count` jobs by single calls, batches or COPY; give what it took."""
    if kind == "single":
        for n in range(WARM_UP_JOBS):
            await producer.single("noop", {"n": n})
        started_s, cpu_s = time.perf_counter(), time.process_time()
        for n in range(count):
            await producer.single("noop", {"n": n})
    else:
        many = producer.copy if kind == "copy" else producer.many
        if many is None:
            raise SystemExit(f"this system has no {kind}")
        batches = [numbered(first, min(batch, count - first)) for first in range(0, count, batch)]
        await many("noop", batches[0])
        started_s, cpu_s = time.perf_counter(), time.process_time()
        for payloads in batches:
            await many("noop", payloads)
    return {
        "jobs": count,
        "seconds": time.perf_counter() - started_s,
        "cpu_s": time.process_time() - cpu_s,
    }


async def probe(producer: Producer, seconds: float, interval_ms: float) -> Payload:
    """Enqueue single stamped jobs at random times, `interval_ms` apart on average."""
    ends_s, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < ends_s:
        await asyncio.sleep(random.uniform(0.5, 1.5) * interval_ms / 1000)  # noqa: S311
        await producer.single("stamp", {"at": time.time()})
        count += 1
    return {"jobs": count}


async def stream(producer: Producer, rate_per_s: float, seconds: float, tick_ms: float) -> Payload:
    """Enqueue stamped jobs at a rate that does not wait for anybody, one batch a tick."""
    started_s, cpu_s, sent = time.perf_counter(), time.process_time(), 0
    while (elapsed_s := time.perf_counter() - started_s) < seconds:
        due = int(elapsed_s * rate_per_s) - sent
        if due > 0:
            now_s = time.time()
            await producer.many("stamp", [{"at": now_s}] * due)
            sent += due
        await asyncio.sleep(tick_ms / 1000)
    return {
        "jobs": sent,
        "seconds": time.perf_counter() - started_s,
        "cpu_s": time.process_time() - cpu_s,
    }


async def produce(open_producer: Callable[[], Opened], arguments: list[str]) -> None:
    """Do what the arguments `MODE key=value ...` say; print the result as JSON."""
    mode, *pairs = arguments
    options = dict(pair.split("=", 1) for pair in pairs)
    async with open_producer() as producer:
        match mode:
            case "fill":
                await fill(producer, int(options["count"]), int(options["batch"]))
                result: Payload = {}
            case "enqueue":
                batch = int(options["batch"])
                result = await timed(producer, options["kind"], int(options["count"]), batch)
            case "probe":
                interval_ms = float(options["interval_ms"])
                result = await probe(producer, float(options["seconds"]), interval_ms)
            case "stream":
                rate_per_s, tick_ms = float(options["rate"]), float(options["tick_ms"])
                result = await stream(producer, rate_per_s, float(options["seconds"]), tick_ms)
            case _:
                raise SystemExit(f"unknown mode {mode!r}")
    sys.stdout.write(json.dumps(result) + "\n")
