"""The one task of the demo and of `helm test`: it takes a while."""

import asyncio

from queueworker import App

app = App()  # the database is named by QUEUEWORKER_DSN


@app.task(queue="demo", timeout_s=60)
async def pretend(seconds: float) -> None:
    """Take `seconds`, as a call to somebody else's server would."""
    await asyncio.sleep(seconds)
