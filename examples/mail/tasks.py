"""The tasks of queue `mail`: what the workers run and the application enqueues."""

import asyncio

from queueworker import App, Context, Discard

app = App()  # the database is named by QUEUEWORKER_DSN


@app.task(queue="mail", max_attempts=5, timeout_s=25)
async def send_mail(ctx: Context, to: str, subject: str) -> None:
    """Send one mail. Runs at least once: give the provider the idempotency key."""
    if "@" not in to:
        raise Discard(f"{to!r} is no address: trying again cannot help")
    ctx.logger.info("sending %r to %s, key %s", subject, to, ctx.idempotency_key)
    await asyncio.sleep(0.5)  # in place of the call to your mail provider


@app.task(queue="mail", priority=5, timeout_s=25)
def send_password_reset(to: str) -> None:
    """Send a reset link, before ordinary mail; a plain function runs in a thread."""
    print(f"reset link to {to}")  # noqa: T201 an example shows something
