"""A long job outlives the scale-in around it and a rollout restart: SIGTERM is a drain."""

from collections.abc import Callable

from tests.support.deployed import Deployed
from tests.support.waiting import wait_until
from tests.support.workload import Workload

LONG_S = 75.0
STARTED = "SELECT worker FROM ledger WHERE note = 'started'"
DRAINING = "SELECT pod FROM queueworker.worker WHERE draining"


def test_a_long_job_survives_scale_in(install: Callable[[Workload], Deployed]) -> None:
    deployed = install(Workload(name="longscale", slots=1, start_within="60s", grace_s=100))
    deployed.enqueue(1, seconds=LONG_S)
    wait_until(lambda: deployed.query(STARTED), within_s=60, what="the long job has started")

    with deployed.watch() as watch:
        deployed.enqueue(80, seconds=1.0)
        wait_until(
            lambda: watch.replicas[-1] < max(watch.replicas),
            within_s=120,
            what="the pods that have nothing left to do are taken away",
        )
        in_flight = deployed.reconcile().lost
        deployed.wait_for_jobs(within_s=120)

    assert len(in_flight) == 1, "the scale-in came after the long job: the test proves nothing"
    assert deployed.reconcile().each_ran_once, deployed.reconcile()


def test_a_long_job_survives_a_rollout_restart(install: Callable[[Workload], Deployed]) -> None:
    deployed = install(Workload(name="longroll", slots=2, min_replicas=1, grace_s=60))
    wait_until(deployed.ready_pods, within_s=60, what="a worker is ready")
    deployed.enqueue(1, seconds=25.0)
    [(pod,)] = wait_until(lambda: deployed.query(STARTED), within_s=30, what="the job has started")

    deployed.cluster.kubectl("rollout", "restart", f"deployment/{deployed.workload.deployment}")
    wait_until(
        lambda: (pod,) in deployed.query(DRAINING),
        within_s=60,
        what="the job's pod has its SIGTERM",
    )
    in_flight = deployed.reconcile().lost
    deployed.enqueue(5, seconds=0.1)
    deployed.wait_for_jobs(within_s=90)

    assert len(in_flight) == 1, "the job had ended before the pod did: the test proves nothing"
    assert deployed.query(STARTED).count((pod,)) == 1
    assert deployed.reconcile().each_ran_once, deployed.reconcile()
