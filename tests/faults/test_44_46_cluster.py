"""Rows 44 to 46: a pod is evicted, the operator is replaced, rights go and come."""

import json
import time
from contextlib import ExitStack

from tests.support.history.operator import Span
from tests.support.mail import deployment, pod, queue_worker
from tests.support.operator_bench import OperatorBench, is_alive
from tests.support.waiting import wait_until
from tests.support.worker_process import Bench, WorkerProcess

MOST = 4
CONVERGED_WITHIN_S = 10.0
REGISTER = """
    SELECT queueworker.register_worker(
      gen_random_uuid(), %s, %s, 'node', '1', ARRAY['mail'], ARRAY['send'], 10, 3600)
"""
WORKERS = "SELECT count(*) FROM queueworker.worker"


def test_row_44_the_lease_of_an_evicted_pod_ends_as_the_pod_does(operated: OperatorBench) -> None:
    """What a node's drain asks for; real nodes are drained in the end-to-end tests' cluster only."""
    place = operated.place
    place.apply(operated.secret, deployment(replicas=1), queue_worker(minReplicas=1))
    place.add_pod(pod("mail-worker-a"))
    operated.enqueue(1)
    operated.conn.execute(REGISTER, ("mail-worker-a", place.namespace))
    operated.conn.execute(
        "UPDATE queueworker.worker SET started_at = started_at - interval '1 minute'"
    )
    operated.await_leader(operated.start())
    place.await_condition("Ready", "AsExpected")
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": "mail-worker-a", "namespace": place.namespace},
        "deleteOptions": {"gracePeriodSeconds": 0},
    }
    path = f"/api/v1/namespaces/{place.namespace}/pods/mail-worker-a/eviction"

    place.server.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))

    wait_until(
        lambda: operated.conn.execute(WORKERS).fetchone() == (0,),
        within_s=3,
        what="its lease is over",
        every_s=0.05,
    )


def test_row_44_a_worker_whose_pod_was_deleted_by_force_stops_at_its_next_renewal(
    operated: OperatorBench, bench: Bench
) -> None:
    """The pod is gone from the API while its container runs on: attempts overlap, one succeeds.

    That worker lives, so it registers anew; its pod is looked for twice, hence up to two crashes.
    """
    place = operated.place
    place.apply(operated.secret, deployment(replicas=2), queue_worker(minReplicas=2))
    names = ("mail-worker-a", "mail-worker-b")
    with ExitStack() as stack:
        workers = {}
        for name in names:
            place.add_pod(pod(name))
            told = {
                "QUEUEWORKER_POD_NAME": name,
                "QUEUEWORKER_POD_NAMESPACE": place.namespace,
                "QUEUEWORKER_POD_UID": place.get("pod", name)["metadata"]["uid"],
            }
            workers[name] = stack.enter_context(WorkerProcess(operated.dsn, **told)).ready()
        operated.await_leader(operated.start())
        place.await_told("Ready")
        (job,) = bench.enqueue("nap", seconds=15.0, max_attempts=5)
        bench.until_noted(job)
        zombie = next(name for name in names if workers[name].pid == bench.runs(job)[0][2])
        operated.conn.execute(
            "UPDATE queueworker.worker SET started_at = started_at - interval '1 minute'"
        )

        place.kubectl("delete", "pod", zombie, "--grace-period=0", "--force")

        wait_until(
            lambda: bench.notes(job)[:2] == ["start", "start"],
            within_s=5,
            what="a second attempt beside the first",
            every_s=0.05,
        )
        bench.until_gone(job)
        bench.until("SELECT sum(succeeded) = 1 FROM queueworker.queue_counter")
        log = workers[zombie].log

    (end,) = bench.runs(job, "end")
    tokens = [token for _, token, _ in bench.runs(job)]
    assert "lease lost" in log
    assert tokens == sorted(set(tokens))
    assert end[1] == tokens[-1]  # all before were stopped, and their results refused
    crashes = bench.one("SELECT count(*) FROM queueworker.failure WHERE job_id = %s", job)
    assert 1 <= crashes <= 2  # of three that bury a job


def test_row_45_an_operator_that_is_replaced_under_load_changes_nothing(
    operated: OperatorBench,
) -> None:
    """The next one is ready before the one before it is asked to go, as a rollout does."""
    operated.place.apply(operated.secret, deployment(), queue_worker(maxReplicas=MOST))
    first = operated.start("operator-0")
    operated.await_leader(first)
    operated.enqueue(20_000)
    operated.await_replicas(MOST)
    began_s = time.time()
    for number in (1, 2):
        following = operated.start(f"operator-{number}", operated.another_way())
        operated.end(operated.started[number - 1][0])
        assert operated.await_leader(following, within_s=5) < CONVERGED_WITHIN_S
        operated.enqueue(100)
        time.sleep(2)  # it decides
    ended_s = time.time()

    assert operated.sizes.now["mail-worker"] == MOST
    assert operated.check(restarts=[Span(from_s=began_s, to_s=ended_s)]) == []


def test_row_46_rights_that_are_taken_away_are_named_and_used_when_they_are_back(
    operated: OperatorBench,
) -> None:
    place = operated.place
    place.apply(operated.secret, deployment(), queue_worker(maxReplicas=MOST))
    operated.await_leader(operated.start())
    place.await_told("Ready")
    role = place.get("role", "queueworker")
    kept = [rule for rule in role["rules"] if rule["resources"] != ["deployments/scale"]]
    place.kubectl("patch", "role", "queueworker", "--type=merge", "-p", json.dumps({"rules": kept}))
    operated.enqueue(2000)
    told = place.await_condition("Ready", "TargetUnavailable")
    assert "not allowed to patch deployments/scale" in told["message"]
    assert is_alive(operated.started[0][0])

    restored = json.dumps({"rules": role["rules"]})
    place.kubectl("patch", "role", "queueworker", "--type=merge", "-p", restored)

    operated.await_replicas(MOST)
