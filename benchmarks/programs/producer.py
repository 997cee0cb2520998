"""Producers for the Python systems: the same loops for all, two calls of each system's own."""

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial

Payload = dict[str, int | float]
Call = Callable[[], Awaitable[object]]
WARM_UP_JOBS = 20
MOST_AT_ONCE = 1000
TICK_S = 0.01


async def missing(_task: str, _payload: object) -> object:
    """Stand for a way to enqueue that a system does not have."""
    raise SystemExit("this system has no such way to enqueue")


@dataclass(frozen=True, slots=True, kw_only=True)
class Producer:
    """How a system enqueues one job of task `noop` or `stamp`, and many in one transaction."""

    single: Callable[[str, Payload], Awaitable[object]]
    many: Callable[[str, list[Payload]], Awaitable[object]]
    copy: Callable[[str, list[Payload]], Awaitable[object]] = missing
    function: Callable[[str, Payload], Awaitable[object]] = missing


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
    """Enqueue `count` jobs after some to warm up; give what it took, `all` counts both."""
    if kind in {"single", "function"}:
        one = producer.function if kind == "function" else producer.single
        calls: list[Call] = [partial(one, "noop", {"n": n}) for n in range(count)]
        warm_up, size = calls[:WARM_UP_JOBS], 1
    else:
        many = producer.copy if kind == "copy" else producer.many
        calls = [
            partial(many, "noop", numbered(first, min(batch, count - first)))
            for first in range(0, count, batch)
        ]
        warm_up, size = calls[:1], min(batch, count)
    for call in warm_up:
        await call()
    started_s, cpu_s = time.perf_counter(), time.process_time()
    for call in calls:
        await call()
    return {
        "jobs": count,
        "all": count + len(warm_up) * size,
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


async def stream(producer: Producer, task: str, rate_per_s: float, seconds: float) -> Payload:
    """Enqueue jobs at a rate that waits for nobody, a batch each 10 ms."""
    started_s, cpu_s, sent = time.perf_counter(), time.process_time(), 0
    while (elapsed_s := time.perf_counter() - started_s) < seconds:
        due = min(MOST_AT_ONCE, int(elapsed_s * rate_per_s) - sent)
        if due > 0:
            key, value = ("at", time.time()) if task == "stamp" else ("n", sent)
            await producer.many(task, [{key: value}] * due)
            sent += due
        await asyncio.sleep(0 if due == MOST_AT_ONCE else TICK_S)
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
                rate_per_s, seconds = float(options["rate"]), float(options["seconds"])
                result = await stream(producer, options["task"], rate_per_s, seconds)
            case _:
                raise SystemExit(f"unknown mode {mode!r}")
    sys.stdout.write(json.dumps(result) + "\n")
