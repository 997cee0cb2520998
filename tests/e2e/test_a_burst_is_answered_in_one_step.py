"""A burst of 2,000 jobs takes a Deployment from 0 to its full size in one step, and back to 0."""

from collections.abc import Callable

from tests.support.deployed import Deployed
from tests.support.waiting import wait_until
from tests.support.workload import Workload

JOBS = 2000
ANSWERED_WITHIN_S = 3.0  # a tick of the operator is 1 s; the rest is this machine's load
BURST = Workload(name="burst", slots=40, max_replicas=10)


def test_the_full_size_is_asked_for_at_once_and_each_job_runs_once(
    install: Callable[[Workload], Deployed], measure: Callable[[str], None]
) -> None:
    burst = install(BURST)
    wait_until(
        lambda: burst.condition("Ready").get("status") == "True", within_s=30, what="it is Ready"
    )

    with burst.watch() as watch:
        committed_at_s = burst.enqueue(JOBS, seconds=1.0)
        burst.wait_for_jobs(within_s=180)
        burst.wait_for_replicas(0, within_s=180)

    answer, peak = watch.changes[1], max(watch.replicas)
    answered_after_s = answer.at_s - committed_at_s
    measure(
        f"burst of {JOBS} jobs: 0->{answer.replicas} pods, /scale written"
        f" {answered_after_s:.2f} s after the commit; replicas over time {watch.replicas}"
    )
    assert watch.replicas[0] == 0
    assert watch.replicas[-1] == 0
    assert answer.replicas == peak > 4
    assert answered_after_s <= ANSWERED_WITHIN_S
    assert burst.reconcile().each_ran_once, burst.reconcile()
