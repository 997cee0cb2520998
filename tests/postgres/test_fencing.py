import asyncio
from collections.abc import Callable

import psycopg
import pytest
from tests.support.engine import Engine, bury, engine, release, retry, succeed

from queueworker.errors import StaleToken
from queueworker.job import ClaimedJob, Transition, TransitionKind
from queueworker.store import Selection, complete_in

pytestmark = pytest.mark.postgres


async def given_to_another(e: Engine) -> tuple[Transition, Engine]:
    """Let a first worker claim a job, lose it, and a second one claim it."""
    await e.enqueue(1)
    first = await e.worker()
    (old,) = await e.claim(first)
    await e.expire(first)
    assert await e.store.rescue() == 1
    (new,) = await e.claim(await e.worker())
    assert (new.id, new.token > old.token) == (old.id, True)
    return succeed(old), e


@pytest.mark.parametrize("is_mixed", [False, True], ids=["alone", "among others"])
@pytest.mark.parametrize("change", [succeed, retry, bury, release], ids=lambda f: f.__name__)
def test_a_stale_token_changes_nothing(
    dsn: str, change: Callable[[ClaimedJob], Transition], is_mixed: bool
) -> None:
    async def scenario() -> tuple[set[tuple[int, int]], int, tuple[int, int]]:
        async with engine(dsn) as e:
            stale, _ = await given_to_another(e)
            look = "SELECT * FROM queueworker.job WHERE id = %s"
            before = await e.all(look, stale.job_id)
            # Other kinds beside it take the statement for mixed batches.
            await e.enqueue(1)
            (other,) = await e.claim(await e.worker())
            batch = [change(stale_job(stale)), *([retry(other)] if is_mixed else [])]
            refused = await e.store.complete(e.queue, batch)
            assert await e.all(look, stale.job_id) == before
            dead = await e.one("SELECT count(*) FROM queueworker.dead_job")
            return refused, dead, (stale.job_id, stale.token)

    refused, dead, pair = asyncio.run(scenario())

    assert refused == {pair}
    assert dead == 0


def test_a_refused_write_is_counted_and_no_success(dsn: str) -> None:
    async def scenario() -> tuple[int, int]:
        async with engine(dsn) as e:
            stale, _ = await given_to_another(e)
            await e.store.complete(e.queue, [stale])
            lag = await e.lag()
            refused = await e.one("SELECT sum(refused) FROM queueworker.stat")
            return lag.succeeded_total, refused

    assert asyncio.run(scenario()) == (0, 1)


def test_one_batch_accepts_the_new_token_and_refuses_the_old_one_of_the_same_job(dsn: str) -> None:
    async def scenario() -> tuple[set[tuple[int, int]], int]:
        async with engine(dsn) as e:
            stale, _ = await given_to_another(e)
            token = await e.one("SELECT token FROM queueworker.job")
            fresh = Transition(job_id=stale.job_id, token=token, kind=stale.kind)
            refused = await e.store.complete(e.queue, [stale, fresh])
            return {(i - stale.job_id, t - token) for i, t in refused}, len(await e.states())

    refused, states = asyncio.run(scenario())

    assert len(refused) == 1
    assert states == 0


def test_effects_in_the_acknowledging_transaction_happen_exactly_once(dsn: str) -> None:
    async def scenario() -> tuple[int, int]:
        async with engine(dsn) as e:
            await e.conn.execute("CREATE TABLE effect (job_id bigint)")
            stale, _ = await given_to_another(e)
            token = await e.one("SELECT token FROM queueworker.job")
            async with await psycopg.AsyncConnection.connect(dsn) as mine:
                await mine.execute("INSERT INTO effect VALUES (%s)", (stale.job_id,))
                with pytest.raises(StaleToken):
                    await complete_in(mine, e.queue, stale.job_id, stale.token)
                await mine.rollback()
                await mine.execute("INSERT INTO effect VALUES (%s)", (stale.job_id,))
                await complete_in(mine, e.queue, stale.job_id, token)
                await mine.commit()
            return await e.one("SELECT count(*) FROM effect"), len(await e.states())

    assert asyncio.run(scenario()) == (1, 0)


def test_a_released_job_is_not_charged_and_goes_behind_the_others(dsn: str) -> None:
    async def scenario() -> tuple[list[int], list[int], int]:
        async with engine(dsn) as e:
            ids = await e.enqueue(3)
            worker = await e.worker()
            (job,) = await e.claim(worker)
            assert await e.store.release(e.queue, job.token, [job.id]) == 1
            jobs = await e.claim(worker, 3)
            return ids, [job.id for job in jobs], jobs[-1].attempt

    ids, order, attempt = asyncio.run(scenario())

    assert order == [ids[1], ids[2], ids[0]]
    assert attempt == 1


@pytest.mark.parametrize(
    ("kind", "wait_s"),
    [(TransitionKind.RELEASE, 60), (TransitionKind.RELEASE_STARTED, 0)],
    ids=["waiting", "running"],
)
def test_a_released_job_keeps_its_age_unless_it_had_started(
    dsn: str, kind: TransitionKind, wait_s: float
) -> None:
    async def scenario() -> tuple[float, float, float]:
        async with engine(dsn) as e:
            await e.enqueue(3)
            await e.conn.execute("UPDATE queueworker.job SET run_at = run_at - interval '1 min'")
            worker = await e.worker()
            jobs = await e.claim(worker, 3)
            await e.enqueue(1)  # a younger one, before which the released job stands no more
            back = Transition(job_id=jobs[0].id, token=jobs[0].token, kind=kind)
            await e.store.complete(e.queue, [back])
            oldest_s = (await e.lag()).oldest_ready_age_s
            waits = {job.id: job.run_at_wait_s for job in await e.claim(worker, 2)}
            return oldest_s, waits[jobs[0].id], (await e.lag()).released_total

    oldest_s, waited_s, released = asyncio.run(scenario())

    assert (oldest_s, waited_s) == pytest.approx((wait_s, wait_s), abs=5)
    assert released == 1


def test_a_retry_is_scheduled_and_its_error_is_kept(dsn: str) -> None:
    async def scenario() -> tuple[dict[str, int], list[tuple[object, ...]], int]:
        async with engine(dsn) as e:
            await e.enqueue(1)
            worker = await e.worker()
            (job,) = await e.claim(worker)
            await e.store.complete(e.queue, [retry(job, delay_s=30)])
            states = await e.states()
            await e.conn.execute("UPDATE queueworker.job SET run_at = clock_timestamp()")
            await e.sweep()
            (again,) = await e.claim(worker)
            failures = await e.all(
                "SELECT attempt, kind, error, worker_id = %s FROM queueworker.failure", worker
            )
            return states, failures, again.attempt

    states, failures, attempt = asyncio.run(scenario())

    assert states == {"scheduled": 1}
    assert failures == [(1, "error", "no luck", True)]
    assert attempt == 2


def test_a_dead_letter_can_be_listed_retried_and_purged(dsn: str) -> None:
    async def scenario() -> list[object]:
        async with engine(dsn) as e:
            await e.enqueue(2)
            worker = await e.worker()
            jobs = await e.claim(worker, 2)
            await e.store.complete(e.queue, [bury(job) for job in jobs])
            seen: list[object] = [
                len(await e.store.dead_list(Selection(queue="mail"))),
                (await e.lag()).dead,
            ]
            seen.append(await e.store.dead_retry("mail", [jobs[0].id]))
            seen += [await e.states(), (await e.claim(worker))[0].attempt]
            seen += [await e.store.dead_purge("mail"), (await e.lag()).dead]
            return seen

    assert asyncio.run(scenario()) == [2, 2, 1, {"dead": 1, "ready": 1}, 1, 1, 0]


def stale_job(transition: Transition) -> ClaimedJob:
    return ClaimedJob(
        token=transition.token,
        id=transition.job_id,
        lane=1,
        pos=1,
        attempt=1,
        max_attempts=5,
        crash_count=0,
        timeout_s=None,
        run_at_wait_s=0,
        args="{}",
    )
