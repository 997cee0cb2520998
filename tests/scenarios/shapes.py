"""Arrivals of many shapes. Seconds; the seed fixes every job."""

import math
import random
from array import array
from collections.abc import Callable, Iterable
from pathlib import Path

from queueworker_operator.simulate.model import Lognormal, Workload
from queueworker_operator.traces import read_rows

TRACES = Path(__file__).parent / "traces"

Rate = Callable[[float], float]
Size = Callable[[random.Random, float], float]
Jobs = Iterable[tuple[float, float]]
Build = Callable[[float, int], Workload]


def sized(mean_s: float = 2.0, cv: float = 1.0) -> Size:
    """Give lognormal sizes."""
    law = Lognormal(mean_s=mean_s, cv=cv)
    return lambda rng, _: law.draw(rng)


def gathered(jobs: Jobs, lasts_s: float, *, announced: bool = False) -> Workload:
    """Put jobs of (arrival, size) in order."""
    ordered = sorted(job for job in jobs if job[0] < lasts_s)
    return Workload(
        at_s=array("d", [at_s for at_s, _ in ordered]),
        size_s=array("d", [size_s for _, size_s in ordered]),
        lasts_s=lasts_s,
        announced=b"\1" * len(ordered) if announced else b"",
    )


def stream(rate: Rate, highest_per_s: float, size: Size) -> Build:
    """Give a Poisson stream whose rate changes (thinning: Lewis and Shedler 1979)."""

    def jobs(rng: random.Random, lasts_s: float) -> Jobs:
        at_s = 0.0
        while (at_s := at_s + rng.expovariate(highest_per_s)) < lasts_s:
            if rng.random() * highest_per_s < rate(at_s):
                yield at_s, size(rng, at_s)

    return lambda lasts_s, seed: gathered(jobs(random.Random(seed), lasts_s), lasts_s)


def levels(period_s: float, *rates: float) -> Rate:
    """Give steps of equal length, over and over."""
    return lambda at_s: rates[int(at_s % period_s / period_s * len(rates))]


def wave(period_s: float, low: float, high: float) -> Rate:
    """Give a sine between two rates, lowest at 0."""
    middle, half = (low + high) / 2, (high - low) / 2
    return lambda at_s: middle - half * math.cos(2 * math.pi * at_s / period_s)


def ramp(period_s: float, low: float, high: float) -> Rate:
    """Give a saw: up in a straight line, then down at once."""
    return lambda at_s: low + (high - low) * (at_s % period_s) / period_s


def growth(period_s: float, low: float, factor: float) -> Rate:
    """Give exponential growth by `factor` a period, then the lowest again."""
    return lambda at_s: low * factor ** (at_s % period_s / period_s)


def spikes(base: float, every_s: float, lasts_s: float, high: float) -> Rate:
    """Give a base rate with regular spikes."""
    return lambda at_s: high if at_s % every_s >= every_s - lasts_s else base


def switching(rates: tuple[float, float], mean_stay_s: float, size: Size) -> Build:
    """Give a stream that switches between two rates at random."""

    def build(lasts_s: float, seed: int) -> Workload:
        rng = random.Random(seed)
        turns, at_s = [0.0], 0.0
        while at_s < lasts_s:
            at_s += rng.expovariate(1 / mean_stay_s)
            turns.append(at_s)

        def rate(time_s: float) -> float:
            return rates[sum(turn <= time_s for turn in turns) % 2]

        return stream(rate, max(rates), size)(lasts_s, seed)

    return build


def batches(
    gap_s: Callable[[random.Random], float],
    count: Callable[[random.Random], int],
    size: Size,
    *,
    announced: bool = False,
) -> Build:
    """Give lumps of jobs, each at one instant, the first after one gap."""

    def jobs(rng: random.Random, lasts_s: float) -> Jobs:
        at_s = gap_s(rng)
        while at_s < lasts_s:
            for _ in range(count(rng)):
                yield at_s, size(rng, at_s)
            at_s += gap_s(rng)

    return lambda lasts_s, seed: gathered(
        jobs(random.Random(seed), lasts_s), lasts_s, announced=announced
    )


def every(gap_s: float, jitter: float = 0.0) -> Callable[[random.Random], float]:
    """Give regular gaps."""
    return lambda rng: gap_s * rng.uniform(1 - jitter, 1 + jitter)


def now_and_then(gap_s: float) -> Callable[[random.Random], float]:
    """Give exponential gaps."""
    return lambda rng: rng.expovariate(1 / gap_s)


def both(*builds: Build) -> Build:
    """Give several streams in one queue; those announced stay so."""

    def build(lasts_s: float, seed: int) -> Workload:
        parts = [one(lasts_s, seed + index) for index, one in enumerate(builds)]
        jobs = sorted(
            (at_s, size_s, bool(part.announced))
            for part in parts
            for at_s, size_s in zip(part.at_s, part.size_s, strict=True)
        )
        return Workload(
            at_s=array("d", [job[0] for job in jobs]),
            size_s=array("d", [job[1] for job in jobs]),
            lasts_s=lasts_s,
            announced=bytes(job[2] for job in jobs) if any(job[2] for job in jobs) else b"",
        )

    return build


def counted(name: str, bucket_s: float, mean_per_s: float, size: Size) -> Build:
    """Give the shape of a real trace of counts, its buckets made `bucket_s` long, over and over."""
    counts = [float(row["arrivals"]) for row in read_rows(TRACES / f"{name}.csv")]
    scale = mean_per_s * len(counts) / sum(counts)
    rates = [count * scale for count in counts]
    return stream(lambda at_s: rates[int(at_s / bucket_s) % len(rates)], max(rates), size)


def events(name: str, column: str, scale: float) -> Build:
    """Give a real trace of single jobs with their sizes, over and over."""
    rows = [
        (float(row["t_s"]), max(float(row[column]) * scale, 1e-3))
        for row in read_rows(TRACES / f"{name}.csv")
    ]
    period_s = rows[-1][0] + 1

    def build(lasts_s: float, seed: int) -> Workload:  # noqa: ARG001 - nothing is drawn
        rounds = range(math.ceil(lasts_s / period_s))
        return gathered(
            ((at_s + lap * period_s, size_s) for lap in rounds for at_s, size_s in rows), lasts_s
        )

    return build
