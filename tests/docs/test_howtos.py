"""The how-tos do what they say, command by command."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.support.engine import Engine, bury, engine
from tests.support.pages import ROOT, blocks
from tests.support.reader import environment, follow

from queueworker import Context, StaleToken
from queueworker.job import ClaimedJob
from queueworker.store import complete_in

HOW_TOS = [
    "cancel",
    "dead-letters",
    "from-keda",
    "graceful-shutdown",
    "queues",
    "retention",
    "simulate",
    "troubleshooting",
    "watch-queues",
    "write-tasks",
]


async def five_dead(dsn: str) -> None:
    """Leave the dead letters that the page about them looks at."""
    async with engine(dsn, "mail") as e:
        worker = await e.worker()
        for _ in range(5):
            await e.enqueue(task="send_mail")
            (job,) = await e.claim(worker, tasks=("send_mail",))
            await e.store.complete(e.queue, [bury(job)])


@pytest.mark.parametrize("page", HOW_TOS)
def test_a_how_to_works_from_top_to_bottom(page: str, dsn: str, tmp_path: Path) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SELECT queueworker.ensure_queue('mail')")
        if page == "dead-letters":
            asyncio.run(five_dead(dsn))
    follow(ROOT / f"docs/howto/{page}.md", tmp_path, environment(dsn, tmp_path))


def test_the_payment_of_a_stale_run_is_rolled_back_and_that_of_the_true_one_counts_once(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shop,) = [b for b in blocks(ROOT / "docs/howto/write-tasks.md") if b.title == "shop.py"]
    names: dict[str, Any] = {}
    exec(compile(shop.text, shop.title, "exec"), names)  # noqa: S102 - the page's own example
    monkeypatch.setenv("QUEUEWORKER_DSN", dsn)
    book_payment = names["book_payment"]

    async def run(e: Engine, job: ClaimedJob) -> None:
        settle = partial(complete_in, queue=e.queue, job_id=job.id, token=job.token)
        context = Context(job, queue=e.queue.name, task=book_payment.name, settle=settle)
        await book_payment.run(context, order_id=7, cents=1250)

    async def scenario() -> tuple[int, int, int]:
        async with engine(dsn, "billing") as e:
            await e.conn.execute("CREATE TABLE payment (order_id bigint, cents int)")
            await e.enqueue()
            worker = await e.worker()
            (stale,) = await e.claim(worker)
            await e.store.release(e.queue, stale.token, [stale.id])
            (fresh,) = await e.claim(worker)
            with pytest.raises(StaleToken):
                await run(e, stale)
            rolled_back = await e.one("SELECT count(*)::int FROM payment")
            await run(e, fresh)
            paid = await e.one("SELECT count(*)::int FROM payment")
            return rolled_back, paid, sum((await e.states()).values())

    assert asyncio.run(scenario()) == (0, 1, 0)
