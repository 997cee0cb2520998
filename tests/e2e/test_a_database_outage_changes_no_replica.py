"""The database goes away: replicas are held, nobody scales on missing data, work resumes."""

import time
from collections.abc import Callable

from tests.support.deployed import Deployed
from tests.support.operator_release import OperatorRelease
from tests.support.postgres_pod import PASSWORD
from tests.support.waiting import wait_until
from tests.support.workload import Workload

OUTAGE_S = 20.0
RESUMES_WITHIN_S = 10.0  # promised are 5 s; the rest is the Service, a readiness probe away
FINISHED_SINCE = """
    SELECT 1 FROM ledger WHERE note = 'finished' AND started_at > %(since)s LIMIT 1
"""


def test_replicas_are_held_and_work_resumes(
    install: Callable[[Workload], Deployed],
    operator: OperatorRelease,
    measure: Callable[[str], None],
) -> None:
    deployed = install(Workload(name="outage", slots=2, max_replicas=3))
    deployed.enqueue(60, seconds=2.0)
    wait_until(lambda: len(deployed.ready_pods()) == 3, within_s=90, what="three workers are ready")

    with deployed.watch() as watch:
        with deployed.postgres.outage():
            told = wait_until(
                lambda: (
                    deployed.condition("MetricsAvailable").get("status") == "False"
                    and deployed.condition("MetricsAvailable")
                ),
                within_s=30,
                what="the status says that there are no metrics",
            )
            time.sleep(OUTAGE_S)  # the outage itself
            held = watch.replicas
        [(back,)] = deployed.query("SELECT pg_postmaster_start_time()")
        wait_until(
            lambda: deployed.query(FINISHED_SINCE, since=back), within_s=60, what="work resumes"
        )
        resumed = deployed.query(
            "SELECT extract(epoch FROM min(started_at) - pg_postmaster_start_time())::float8"
            " FROM ledger WHERE started_at > pg_postmaster_start_time()"
        )[0][0]
    measure(f"database back after {OUTAGE_S:.0f} s: work resumes {resumed:.1f} s later")
    deployed.wait_for_jobs(within_s=120)

    assert held == [3]
    assert told["reason"]
    assert PASSWORD not in operator.describe()
    assert resumed <= RESUMES_WITHIN_S
    assert deployed.reconcile().none_is_lost, deployed.reconcile()
