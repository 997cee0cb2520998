"""kill -9 of a pod: its jobs run elsewhere, under a larger token, and none is lost."""

import time
from collections.abc import Callable

from tests.support.deployed import Deployed
from tests.support.images import Images
from tests.support.killing import Killer
from tests.support.waiting import wait_until
from tests.support.workload import Workload

RERUN_WITHIN_S = 8.0  # promised are 3 s: a second each for kubelet, operator, worker; and load
SETTLED = "SELECT count(*) FROM queueworker.worker WHERE started_at < now() - interval '6 s'"
ON_POD = """
    SELECT s.job_id
    FROM ledger AS s
    WHERE s.note = 'started'
      AND s.worker = %(pod)s
      AND NOT EXISTS (
        SELECT FROM ledger AS f WHERE f.job_id = s.job_id AND f.note = 'finished'
      )
"""
STARTS = "SELECT job_id, count(*) FROM ledger WHERE note = 'started' GROUP BY job_id"


def test_jobs_of_a_killed_pod_run_again_and_no_others(
    install: Callable[[Workload], Deployed], images: Images, measure: Callable[[str], None]
) -> None:
    deployed = install(Workload(name="killed", slots=4, min_replicas=2, max_replicas=2))
    wait_until(lambda: len(deployed.ready_pods()) == 2, within_s=90, what="two workers are ready")
    victim = deployed.pods()[0]
    killer = Killer(deployed.cluster, images.app, victim)
    killer.start()
    wait_until(  # the operator leaves a worker of the last 5 s alone: it may be a pod's next one
        lambda: deployed.query(SETTLED) == [(2,)], within_s=30, what="the workers have settled"
    )
    deployed.enqueue(8, seconds=5.0)
    pod = victim["metadata"]["name"]
    wait_until(lambda: deployed.query(ON_POD, pod=pod), within_s=30, what="the victim runs jobs")

    assert killer.kill() >= 1
    killed_at_s = time.monotonic()
    interrupted = {job_id for (job_id,) in deployed.query(ON_POD, pod=pod)}
    wait_until(lambda: restarted(deployed), within_s=60, what="the first of its jobs runs again")
    rerun_after_s = time.monotonic() - killed_at_s
    measure(f"kill -9 of a pod: its first job runs again after {rerun_after_s:.1f} s")
    deployed.wait_for_jobs(within_s=90)
    killer.stop()

    assert interrupted
    assert rerun_after_s <= RERUN_WITHIN_S
    assert restarted(deployed) == interrupted
    assert deployed.reconcile().none_is_lost, deployed.reconcile()


def restarted(deployed: Deployed) -> set[int]:
    return {job_id for job_id, starts in deployed.query(STARTS) if starts > 1}
