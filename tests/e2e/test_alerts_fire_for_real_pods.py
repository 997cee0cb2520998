"""Prometheus scrapes pods of the cluster, with the chart's rules; alerts fire when provoked, and end.

Here it scrapes what pods serve in a real cluster, by way of the API server; that each alert fires
is played without a cluster (tests/kubernetes/test_alerts_in_prometheus.py).
"""

from collections.abc import Callable
from pathlib import Path

from tests.support.deployed import Deployed
from tests.support.operator_release import DEPLOYMENT, OperatorRelease
from tests.support.pod_targets import PodTargets
from tests.support.prometheus import Watch, running_prometheus
from tests.support.waiting import wait_until
from tests.support.workload import Workload

LATE = {
    f"QueueWorker{name}"
    for name in ("LagSloBurnFast", "LagSloBurnSlow", "OldestJobTooOld", "AtMaxReplicas")
}
OPERATOR = "app.kubernetes.io/name=queueworker"
NO_LEADER = {"QueueWorkerNoLeader"}
ONE_SLOT = Workload(name="alerted", slots=1, start_within="1s", min_replicas=1, max_replicas=1)


def test_late_jobs_and_a_missing_operator_are_told_and_their_end_too(
    install: Callable[[Workload], Deployed],
    operator: OperatorRelease,
    measure: Callable[[str], None],
    tmp_path: Path,
) -> None:
    workers = install(ONE_SLOT)
    wait_until(workers.ready_pods, within_s=60, what="a worker is ready")
    targets = PodTargets(operator.cluster, tmp_path)
    namespace = operator.cluster.namespace
    scrapes = [targets.scrape(job) for job in ("operator", "workers")]
    with running_prometheus(tmp_path / "prometheus", scrapes, namespace) as prometheus:
        targets.write("operator", OPERATOR)
        targets.write("workers", ONE_SLOT.selector)
        wait_until(lambda: prometheus.healthy("operator") == 1, within_s=30, what="it is scraped")
        wait_until(lambda: prometheus.healthy("workers") == 1, within_s=30, what="they are scraped")
        wait_until(lambda: not prometheus.alert_names(), within_s=20, what="nothing is amiss")
        watch = Watch(prometheus)

        workers.enqueue(600, seconds=0.2)
        watch.until_fired(LATE, within_s=60)
        workers.query("SELECT queueworker.cancel(id) FROM queueworker.jobs")
        watch.until_over(LATE, within_s=60)

        operator.cluster.kubectl("scale", DEPLOYMENT, "--replicas=0")
        watch.until_fired(NO_LEADER, within_s=40)
        operator.cluster.kubectl("scale", DEPLOYMENT, "--replicas=1")
        operator.cluster.kubectl("rollout", "status", DEPLOYMENT, "--timeout=60s", within_s=70)
        targets.write("operator", OPERATOR)
        watch.until_over(NO_LEADER, within_s=40)

    rounded = {name: round(at_s) for name, at_s in watch.fired_s.items()}
    measure(f"alerts in Prometheus, seconds after the jobs: {rounded}")
    assert watch.whose == {name: {"alerted"} for name in LATE} | {name: {""} for name in NO_LEADER}
    assert watch.over_s.keys() == LATE | NO_LEADER
