"""The operator scales a Deployment, and leaves it alone when it is told to or nothing changes."""

from tests.support.mail import Place, deployment, enqueue, queue_worker, secret
from tests.support.operator_process import (
    Operator,
    Start,
)
from tests.support.postgres import Connection
from tests.support.waiting import wait_until


def test_a_burst_scales_the_deployment_in_one_step(
    place: Place, start: Start, dsn: str, conn: Connection
) -> None:
    place.apply(deployment(), queue_worker(), secret(dsn))
    start()
    place.await_told("Ready")  # the queue does not exist yet
    assert place.replicas() == 0
    versions = place.get("deployment", "mail-worker")["metadata"]["generation"]

    enqueue(conn, 2000)
    wait_until(lambda: place.replicas() > 0, within_s=10, what="scaled", every_s=0.05)

    scaled = place.get("deployment", "mail-worker")
    assert scaled["spec"]["replicas"] >= 20
    assert scaled["metadata"]["generation"] == versions + 1


def test_paused_and_dry_run_leave_the_replicas_alone(
    place: Place, start: Start, dsn: str, conn: Connection
) -> None:
    enqueue(conn, 500)
    place.apply(deployment(), secret(dsn), queue_worker(mode="DryRun"))
    start()
    place.await_condition("Paused", "DryRun")
    wait_until(
        lambda: place.get("queueworker", "mail")["status"]["replicas"]["desired"] > 0,
        within_s=10,
        what="a decision is published",
    )
    assert place.replicas() == 0

    place.apply(queue_worker(mode="Paused"))
    place.await_condition("Paused", "Paused")
    assert place.replicas() == 0

    place.apply(queue_worker(mode="Auto"))
    wait_until(lambda: place.replicas() > 0, within_s=10, what="scaled")


def test_kubectl_scale_of_the_resource_overrides_by_hand(
    place: Place, start: Start, dsn: str, conn: Connection
) -> None:
    enqueue(conn, 1)
    place.apply(deployment(), queue_worker(replicas=3), secret(dsn))
    start()
    place.await_replicas(3)

    place.kubectl("scale", "queueworker/mail", "--replicas=5")

    place.await_replicas(5)
    assert place.condition("Paused")["reason"] == "ManualReplicas"


def ticks(operator: Operator) -> float:
    """Give how often the database was read so far."""
    lines = operator.get("/metrics")[1].splitlines()
    name = "queueworker_metric_read_seconds_count"
    return next(float(line.split()[1]) for line in lines if line.startswith(name))


def test_nothing_is_written_while_nothing_changes(
    place: Place, start: Start, dsn: str, conn: Connection
) -> None:
    conn.execute("SELECT queueworker.ensure_queue('mail')")
    place.apply(deployment(), queue_worker(), secret(dsn))
    operator = start()
    place.await_condition("Ready", "AsExpected")
    settled = ticks(operator) + 7  # the reason settles within the first observation, after 5 s
    wait_until(lambda: ticks(operator) >= settled, within_s=30, what="7 ticks")
    kinds = ("queueworker/mail", "deployment/mail-worker")
    before = [place.get(*kind.split("/"))["metadata"]["resourceVersion"] for kind in kinds]

    wait_until(lambda: ticks(operator) >= settled + 6, within_s=30, what="6 ticks more")

    after = [place.get(*kind.split("/"))["metadata"]["resourceVersion"] for kind in kinds]
    assert after == before
    assert place.events() == []


def test_a_restart_alone_changes_nothing(
    place: Place, start: Start, dsn: str, conn: Connection
) -> None:
    enqueue(conn, 500)
    place.apply(deployment(), queue_worker(), secret(dsn))
    first = start()
    place.await_condition("Ready", "AsExpected")
    wait_until(lambda: place.replicas() > 0, within_s=10, what="scaled")
    before = place.get("deployment", "mail-worker")["metadata"]["generation"]

    assert first.stop() == 0
    lease = place.get("lease", "queueworker-operator")["spec"]
    second = start()
    wait_until(
        lambda: "queueworker_leader 1.0" in second.get("/metrics")[1], within_s=10, what="leads"
    )
    wait_until(
        lambda: "queueworker_desired_replicas" in second.get("/metrics")[1],
        within_s=10,
        what="decides",
    )

    assert lease["holderIdentity"] == ""
    assert place.get("deployment", "mail-worker")["metadata"]["generation"] == before
