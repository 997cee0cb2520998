"""The tasks that the worker under test runs."""

from benchmarks.programs.handler import mark, stamps
from queueworker import App

app = App()


@app.task(queue="bench")
async def noop(n: int) -> None:  # noqa: ARG001  # the payload is decoded and checked
    """Do nothing."""
    mark.call()


@app.task(queue="bench")
async def stamp(at: float) -> None:
    """Note how long this job waited."""
    stamps.add(at)
