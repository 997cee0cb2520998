"""A standby waits for the leader to go, and a leader ends the leases of dead pods."""

from tests.support.mail import Place, deployment, enqueue, pod, queue_worker, secret
from tests.support.operator_process import Start
from tests.support.postgres import Connection
from tests.support.waiting import wait_until


def test_a_standby_is_ready_and_writes_nothing_until_the_leader_goes(
    place: Place, start: Start, dsn: str, conn: Connection
) -> None:
    place.apply(deployment(), queue_worker(), secret(dsn))
    leader = start()
    wait_until(
        lambda: "queueworker_leader 1.0" in leader.get("/metrics")[1], within_s=10, what="leads"
    )
    standby = start()

    assert standby.get("/readyz")[0] == standby.get("/livez")[0] == 200
    assert "queueworker_leader 0.0" in standby.get("/metrics")[1]
    leader.stop()
    enqueue(conn, 500)
    wait_until(lambda: place.replicas() > 0, within_s=10, what="the standby scales")
    assert "queueworker_leader 1.0" in standby.get("/metrics")[1]


def test_the_lease_of_a_dead_pod_is_ended_at_once(
    place: Place, start: Start, dsn: str, conn: Connection
) -> None:
    place.apply(deployment(replicas=1), queue_worker(minReplicas=1), secret(dsn))
    place.add_pod(pod("mail-worker-a"))
    enqueue(conn, 1)
    conn.execute(
        "SELECT queueworker.register_worker(gen_random_uuid(), 'mail-worker-a', %s, 'node', "
        "'1', ARRAY['mail'], ARRAY['send'], 10, 3600)",
        (place.namespace,),
    )
    # younger rows may be of a container that was restarted: they are left alone
    conn.execute("UPDATE queueworker.worker SET started_at = started_at - interval '1 minute'")
    start()
    place.await_condition("Ready", "AsExpected")

    place.kubectl("delete", "pod", "mail-worker-a", "--grace-period=0", "--force")

    def alive() -> int:
        row = conn.execute("SELECT count(*) FROM queueworker.worker").fetchone()
        assert row is not None
        return int(row[0])

    wait_until(lambda: alive() == 0, within_s=3, what="the worker's row is gone", every_s=0.1)
