"""Tasks whose errors quote the database's address, as careless code does."""

import os

import psycopg

from queueworker import App, Context, Discard, RetryAfter

app = App()

TASKS = (
    "quotes_address",
    "quotes_url",
    "quotes_in_thread",
    "quotes_in_process",
    "quotes_as_cause",
    "quotes_in_group",
    "quotes_in_note",
    "quotes_late",
    "quotes_parameters",
    "discards",
    "asks_again",
)


def address() -> str:
    return os.environ["QUEUEWORKER_DSN"]


def url() -> str:
    parameters = psycopg.conninfo.conninfo_to_dict(address())
    return "postgresql://{user}:{password}@db.example.org/{dbname}".format(**parameters)


@app.task(queue="mail")
async def quotes_address() -> None:
    raise ConnectionError(f"cannot reach {address()}")


@app.task(queue="mail")
async def quotes_url() -> None:
    raise ConnectionError(f"cannot reach {url()}: refused")


@app.task(queue="mail")
def quotes_in_thread() -> None:
    raise ConnectionError(address())


@app.task(queue="mail", executor="process")
def quotes_in_process() -> None:
    raise ConnectionError(address())


@app.task(queue="mail")
async def quotes_as_cause() -> None:
    try:
        quotes_in_thread.run()
    except ConnectionError as exc:
        raise RuntimeError(url()) from exc


@app.task(queue="mail")
async def quotes_in_group() -> None:
    raise ExceptionGroup(f"all of {url()}", [ConnectionError(address()), ValueError(url())])


@app.task(queue="mail")
async def quotes_in_note() -> None:
    error = ConnectionError(f"cannot reach {url()}")
    error.add_note(f"it was {address()}")
    raise error


@app.task(queue="mail")
async def quotes_late() -> None:
    raise ConnectionError("x" * 980 + " " + url())


@app.task(queue="mail")
async def quotes_parameters() -> None:
    raise ConnectionError(psycopg.conninfo.conninfo_to_dict(address()))


@app.task(queue="mail")
async def discards() -> None:
    raise Discard(f"no use with {url()}")


@app.task(queue="mail")
async def asks_again(ctx: Context) -> None:
    raise RetryAfter(0.05, f"not yet at {url()} in attempt {ctx.attempt}")
