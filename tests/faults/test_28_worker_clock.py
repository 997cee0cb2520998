"""Row 28: a worker's clock is wrong."""

import pytest
from tests.support.clocks import faketime, shim
from tests.support.fault_workers import SHORT_TTL_S, short
from tests.support.worker_process import Bench

HOUR_S = 3600
WORKERS = 5


@pytest.mark.parametrize("skew", [shim, pytest.param(faketime, marks=pytest.mark.system)])
def test_row_28_a_workers_wrong_clock_changes_no_lease_and_no_time(
    dsn: str, bench: Bench, skew: object
) -> None:
    assert callable(skew)
    ids = bench.enqueue("nap", count=8, seconds=1.5 * SHORT_TTL_S)
    with (
        short(dsn, concurrency=2, environ=skew(HOUR_S)) as ahead,
        short(dsn, concurrency=2, environ=skew(-HOUR_S)) as behind,
    ):
        ahead.ready(), behind.ready()
        bench.until_gone(*ids)
        later = bench.one(
            "SELECT queueworker.enqueue('mail', 'quick', '{}', run_at => clock_timestamp() + '2 s')"
        )
        bench.until_noted(later, "quick", within_s=8)
        log = ahead.log + behind.log

    assert "lease lost" not in log
    assert bench.notes(*ids).count("start") == bench.notes(*ids).count("end") == 8
    early = bench.one(
        "SELECT bool_or(l.started_at < j.at) FROM ledger AS l,"
        " LATERAL (SELECT max(started_at) AS at FROM ledger WHERE note = 'end') AS j"
        " WHERE l.job_id = %s",
        later,
    )
    assert early is False
    assert bench.one("SELECT count(*) FROM queueworker.failure") == 0
