"""Ask the database what became of a replay's jobs."""

import psycopg

from queueworker_operator.errors import LagUnavailable
from queueworker_operator.local.replay import Replay, connect, runs, unfinished
from queueworker_operator.local.summary import Account, account_of


async def take_account(
    dsn: str, replay: Replay, start_within_s: float
) -> tuple[Account | None, bool]:
    """Give the account of `replay`, None without a ledger; and whether no job is left over.

    Raises:
        LagUnavailable: the database did not answer.
    """
    jobs = replay.enqueued_at_s
    try:
        async with await connect(dsn) as connection:
            states = await unfinished(connection, [replay.queue])
            ledger = await runs(connection, list(jobs))
    except psycopg.Error as exc:
        raise LagUnavailable("the jobs cannot be counted: the database is gone") from exc
    planned = len(replay.arrivals)
    complete = len(jobs) == planned and not jobs.keys() & states.keys()
    if ledger is None:
        return None, complete
    account = account_of(jobs, ledger, states, planned=planned, start_within_s=start_within_s)
    return account, complete
