"""An operator of the whole cluster asks no worker to drain, and ends no lease, that is not its Deployment's."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.test_31_operator_killed import PODS, WORKERS, Scene
from tests.faults.test_31_operator_killed import REGISTER as REGISTER_OURS
from tests.support.chart import DEFINITION
from tests.support.controlplane import ApiServer, run_api_server
from tests.support.mail import Place, deployment, pod, queue_worker
from tests.support.operator_bench import OperatorBench, operator_bench
from tests.support.operator_process import grant
from tests.support.waiting import wait_until

REGISTER = """
    SELECT queueworker.register_worker(
      gen_random_uuid(), %s, 'victim', 'node', '1', ARRAY[%s], ARRAY['send'], 10, 3600)
"""
OF_THEM = """
    SELECT pod, drain FROM queueworker.worker WHERE namespace <> %s ORDER BY pod
"""
OURS = "SELECT pod FROM queueworker.worker WHERE namespace = %s"
WIDE = {"QUEUEWORKER_OPERATOR_ALL_NAMESPACES": "true"}
OTHERS = {"same-queue": "mail", "other-queue": "reports", "with-a-pod": "mail"}


@pytest.fixture(scope="module")
def api() -> Iterator[ApiServer]:
    with run_api_server() as server:
        server.define(DEFINITION)
        yield server


@pytest.fixture
def bench(api: ApiServer, dsn: str, tmp_path: Path) -> Iterator[OperatorBench]:
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    api.kubectl("create", "namespace", namespace)
    grant(api, namespace, "--set", "scope=Cluster")
    with operator_bench(Place(server=api, namespace=namespace), dsn, tmp_path) as bench:
        yield bench


def test_workers_of_other_deployments_queues_and_namespaces_are_left_alone(
    bench: OperatorBench,
) -> None:
    victim = Place(server=bench.place.server, namespace="victim")
    victim.server.kubectl("create", "namespace", "victim")
    victim.add_pod(pod("with-a-pod"))  # labelled as the pods of our Deployment are
    for name, queue in OTHERS.items():
        bench.conn.execute("SELECT queueworker.ensure_queue(%s)", (queue,))
        bench.conn.execute(REGISTER, (name, queue))
    scene = Scene(bench)
    scene.begin(**WIDE, QUEUEWORKER_OPERATOR_LEADER_NAMESPACE=bench.place.namespace)

    bench.ask(1)
    bench.await_replicas(1)
    [gone] = scene.victims()
    victim.kubectl("delete", "pod", "with-a-pod", "--grace-period=0", "--force")
    scene.remove(gone)
    wait_until(
        lambda: gone not in {name for name, _ in bench.conn.execute(WORKERS)},
        within_s=10,
        what="the lease of our own pod ends",
    )

    left = dict(bench.conn.execute(WORKERS).fetchall())
    assert left == dict.fromkeys([*OTHERS, *(name for name in PODS if name != gone)], False)


def test_a_pod_that_takes_the_name_of_another_namespaces_pod_can_do_its_worker_nothing(
    bench: OperatorBench,
) -> None:
    """Both teams' workers serve one queue; of theirs one tells its namespace and one does not."""
    theirs = Place(server=bench.place.server, namespace="theirs")
    theirs.server.kubectl("create", "namespace", "theirs")
    theirs.apply(deployment(replicas=2), bench.secret, queue_worker(queues=["reports"], replicas=2))
    for name, told in zip(PODS, ("theirs", ""), strict=True):
        theirs.add_pod(pod(name))
        bench.conn.execute(REGISTER_OURS, (name, told))
    scene, ours = Scene(bench), bench.place.namespace
    scene.begin(**WIDE, QUEUEWORKER_OPERATOR_LEADER_NAMESPACE=ours)
    theirs.await_told("Ready")

    bench.ask(1)
    bench.await_replicas(1)
    for name in PODS:
        scene.remove(name)

    wait_until(
        lambda: bench.conn.execute(OURS, (ours,)).fetchall() == [],
        within_s=10,
        what="the leases of our pods end",
    )
    assert bench.conn.execute(OF_THEM, (ours,)).fetchall() == [(name, False) for name in PODS]
    assert theirs.replicas() == 2
