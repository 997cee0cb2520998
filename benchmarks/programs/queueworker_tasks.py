"""The tasks that the worker under test runs."""

import asyncio

from benchmarks.programs.handler import mark, stamps, starts
from queueworker import App, Context

app = App()


@app.task(queue="bench")
async def noop(n: int) -> None:  # noqa: ARG001  # the payload is decoded and checked
    """Do nothing."""
    mark.call()


@app.task(queue="bench")
async def stamp(at: float) -> None:
    """Note how long this job waited."""
    stamps.add(at)


@app.task(queue="bench")
async def tracked(ctx: Context, at: float, nap_s: float) -> None:
    """Note which run this is, and take a while."""
    starts.add(ctx.job_id, ctx.token, ctx.attempt, at)
    await asyncio.sleep(nap_s)
