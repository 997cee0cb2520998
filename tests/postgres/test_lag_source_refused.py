"""A source of lag that is refused names the remedy and no secret."""

import logging
from uuid import uuid4

import pytest
from tests.support.lags import opened
from tests.support.loops import enqueue, execute, run
from tests.support.postgres import CANARY
from tests.support.targets import pod_id

from queueworker_operator.errors import AccessRefused, GrantMissing

pytestmark = pytest.mark.postgres


def test_a_database_without_the_schema_names_the_remedy(empty_dsn: str) -> None:
    async def scene() -> None:
        async with opened(empty_dsn) as source:
            with pytest.raises(GrantMissing, match="run queueworker migrate"):
                await source.read(["mail"])

    run(scene())


def test_a_role_without_the_grant_names_the_remedy_and_one_with_it_reads(dsn: str) -> None:
    async def scene() -> None:
        role = f"scaler_{uuid4().hex[:8]}"
        await execute(dsn, f"CREATE ROLE {role} LOGIN")
        try:
            await enqueue(dsn, 2)
            async with opened(dsn.replace("user=postgres", f"user={role}")) as source:
                with pytest.raises(GrantMissing, match="grant queueworker_operator"):
                    await source.read(["mail"])
                await execute(dsn, f"GRANT queueworker_operator TO {role}")
                lags = await source.read(["mail"])
                await source.tend(["mail"])
                await source.workers(["mail"])
                await source.set_drain([str(uuid4())], drain=True)
                await source.end_lease([pod_id("nobody")], shared=True)
                await source.record_decision("default/mail", {})
                await source.decisions("default/mail", 1)
                await source.save_states({"default/mail": {}})
                await source.load_state("default/mail")
        finally:
            await execute(dsn, f"DROP ROLE {role}")

        assert lags["mail"].ready == 2

    run(scene())


def test_an_unknown_user_is_refused_access_and_no_secret_is_told(
    dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with opened(dsn.replace("user=postgres", "user=stranger")) as source:
            with pytest.raises(AccessRefused, match="check the Secret") as told:
                await source.read(["mail"])

        assert CANARY in dsn
        assert CANARY not in str(told.value)

    with caplog.at_level(logging.DEBUG, logger="queueworker_operator"):
        run(scene())
    assert "no connection" in caplog.text
    assert CANARY not in caplog.text
