"""The operator, whole, against a real API server and a real Postgres, with the chart's rights."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
import yaml
from tests.support.controlplane import ApiServer
from tests.support.judge import Judge, Others
from tests.support.mail import Place, deployment, pod, queue_worker, secret
from tests.support.operator_process import (
    Operator,
    grant,
    kubeconfig_of_account,
    running_operator,
)
from tests.support.postgres import CANARY, Connection, fresh_database
from tests.support.waiting import wait_until

Start = Callable[[], Operator]
ONE_REPLICA = ("--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":1}}')


@pytest.fixture
def place(crd: ApiServer, namespace: str) -> Place:
    grant(crd, namespace)
    return Place(server=crd, namespace=namespace)


@pytest.fixture
def start(judge: Judge, place: Place, tmp_path: Path, dsn: str) -> Iterator[Start]:
    """Start operators; they stop before the database goes, and no log may hold its password."""
    assert CANARY in dsn
    kubeconfig = kubeconfig_of_account(place.server, place.namespace, tmp_path)
    logs: list[Path] = []
    with ExitStack() as stack:

        def begin() -> Operator:
            logs.append(tmp_path / f"operator-{len(logs)}.log")
            return stack.enter_context(running_operator(judge, kubeconfig, logs[-1]))

        yield begin
    for log in logs:
        assert CANARY not in log.read_text()
        assert "Traceback" not in log.read_text()


def enqueue(conn: Connection, count: int, queue: str = "mail") -> None:
    conn.execute(
        "SELECT queueworker.enqueue_many(%s, 'send', array_fill('{}'::jsonb, ARRAY[%s]))",
        (queue, count),
    )


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


def test_the_status_tells_the_decision_and_its_numbers(
    place: Place, start: Start, dsn: str, conn: Connection
) -> None:
    enqueue(conn, 200)
    place.apply(deployment(), queue_worker(), secret(dsn))
    start()
    place.kubectl("wait", "--for=condition=Ready", "queueworker/mail", "--timeout=20s")
    events = wait_until(place.events, within_s=5, what="an event")

    status = place.get("queueworker", "mail")["status"]
    desired = place.replicas()
    assert status["backlog"]["ready"] == 200
    assert status["replicas"]["desired"] == status["replicas"]["current"] == desired > 0
    assert status["selector"] == "app=mail-worker"
    assert status["observedGeneration"] == 1
    assert len(events) == 1
    assert f"0->{desired}: 200 waiting" in events[0]["message"]
    assert place.kubectl("get", "queueworkers").split("\n")[1].split()[:3] == [
        "mail",
        "True",
        "Auto",
    ]


def test_an_invalid_resource_is_told_so_and_changes_nothing(
    place: Place, start: Start, dsn: str, conn: Connection
) -> None:
    enqueue(conn, 200)
    place.apply(deployment(), secret(dsn), queue_worker(minReplicas=0))
    operator = start()
    place.await_condition("Ready", "AsExpected")
    before = place.replicas()
    definition = "customresourcedefinition/queueworkers.queueworker.dev"
    rules = json.loads(place.server.kubectl("get", definition, "-o", "json"))

    place.kubectl("delete", "queueworker", "mail")
    _relax(place, rules)
    try:
        place.apply(queue_worker(minReplicas=9, maxReplicas=3))
        told = place.await_condition("Ready", "InvalidSpec")
    finally:
        place.kubectl("delete", "queueworker", "mail")
        place.server.kubectl("replace", "-f", "-", stdin=json.dumps(_without_version(rules)))

    assert "spec.minReplicas 9 is more than spec.maxReplicas 3" in told["message"]
    assert place.replicas() == before
    assert operator.process.poll() is None


def _relax(place: Place, rules: dict[str, object]) -> None:
    """Take the cross-field rule out, as an older CRD may lack it."""
    loose = json.loads(json.dumps(_without_version(rules)))
    spec = loose["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    del spec["x-kubernetes-validations"]
    place.server.kubectl("replace", "-f", "-", stdin=json.dumps(loose))
    wait_until(lambda: _accepts_anything(place), within_s=20, what="the rule is gone", every_s=0.3)


def _accepts_anything(place: Place) -> bool:
    body = json.dumps(queue_worker("probe", minReplicas=9, maxReplicas=3))
    try:
        place.kubectl("create", "--dry-run=server", "-f", "-", stdin=body)
    except subprocess.CalledProcessError:
        return False
    return True


def _without_version(body: dict[str, object]) -> dict[str, object]:
    copy: dict[str, object] = json.loads(json.dumps(body))
    metadata = copy["metadata"]
    assert isinstance(metadata, dict)
    del metadata["resourceVersion"]
    return copy


def test_a_missing_secret_is_named_and_picked_up_when_it_appears(
    place: Place, start: Start, dsn: str, conn: Connection
) -> None:
    enqueue(conn, 200)
    place.apply(deployment(), queue_worker())
    start()
    told = place.await_condition("MetricsAvailable", "SecretNotFound")
    assert "Secret mail-db does not exist" in told["message"]
    assert place.condition("Ready")["status"] == "False"

    place.apply(secret(dsn))

    wait_until(lambda: place.replicas() > 0, within_s=20, what="scaled")


def test_a_secret_without_the_key_names_the_key(place: Place, start: Start, dsn: str) -> None:
    place.apply(deployment(), queue_worker(), secret(dsn) | {"stringData": {"url": dsn}})
    start()

    told = place.await_condition("MetricsAvailable", "SecretInvalid")

    assert "no key dsn" in told["message"]


def test_a_rotated_secret_is_read_again_as_soon_as_the_database_refuses_the_old_one(
    place: Place, start: Start, dsn: str, conn: Connection
) -> None:
    enqueue(conn, 200)
    outdated = dsn.replace("user=postgres", "user=rotated_away")
    place.apply(deployment(), queue_worker(), secret(outdated))
    start()
    told = place.await_condition("MetricsAvailable", "AccessRefused")
    assert "check the Secret" in told["message"]

    place.apply(secret(dsn))

    wait_until(lambda: place.replicas() > 0, within_s=20, what="scaled with the new Secret")


def test_an_unreachable_database_holds_the_replicas_and_hides_the_password(
    place: Place, start: Start
) -> None:
    nowhere = f"host=/nonexistent user=mail password={CANARY} dbname=mail"
    place.apply(deployment(replicas=7), queue_worker(), secret(nowhere))
    start()

    told = wait_until(
        lambda: (
            found
            if (found := place.condition("MetricsAvailable")).get("status") == "False"
            else None
        ),
        within_s=15,
        what="MetricsAvailable is False",
    )

    assert place.replicas() == 7
    assert CANARY not in json.dumps(place.get("queueworker", "mail"))
    assert told["message"]


def test_the_younger_of_two_on_one_target_is_conflicted_and_not_acted_upon(
    place: Place, start: Start, dsn: str, conn: Connection
) -> None:
    enqueue(conn, 200, "other")
    place.apply(deployment(), secret(dsn), queue_worker("a-young-one", queues=["other"]))
    place.kubectl("delete", "queueworker", "a-young-one")
    place.apply(queue_worker("old"))
    wait_until(lambda: _age_differs(place), within_s=5, what="a second has passed", every_s=0.3)
    place.apply(queue_worker("a-young-one", queues=["other"]))
    start()

    told = place.await_condition("Conflicted", "DuplicateTarget", name="a-young-one")

    assert f"{place.namespace}/old is older" in told["message"]
    assert place.condition("Ready", "a-young-one")["status"] == "False"
    assert place.condition("Conflicted", "old").get("status") != "True"
    assert place.replicas() == 0


def _age_differs(place: Place) -> bool:
    place.kubectl("delete", "configmap", "clock", "--ignore-not-found")
    place.kubectl("create", "configmap", "clock")
    stamps = [
        place.get(kind, name)["metadata"]["creationTimestamp"]
        for kind, name in (("queueworker", "old"), ("configmap", "clock"))
    ]
    return stamps[0] != stamps[1]


def test_overlapping_queues_of_one_database_are_a_conflict(
    place: Place, start: Start, dsn: str
) -> None:
    place.apply(deployment(), deployment("other-worker"), secret(dsn))
    place.apply(queue_worker("a", queues=["mail", "reports"]))
    target = {"kind": "Deployment", "name": "other-worker"}
    place.apply(queue_worker("b", queues=["reports"], scaleTargetRef=target))
    start()

    told = place.await_condition("Conflicted", "OverlappingQueues", name="b")

    assert "for queue reports already" in told["message"]


@pytest.mark.others_write(Others.RIVAL)
@pytest.mark.parametrize(
    ("manager", "told_of"),
    [
        ("argocd", "argocd keeps overwriting the replicas of deployment mail-worker: remove it"),
        ("kube-controller-manager", "an HPA keeps overwriting"),
    ],
)
def test_a_rival_writer_is_named_and_left_alone(
    place: Place, start: Start, dsn: str, conn: Connection, *, manager: str, told_of: str
) -> None:
    enqueue(conn, 500)
    place.apply(deployment(), queue_worker(), secret(dsn))
    start()
    wait_until(lambda: place.replicas() > 1, within_s=15, what="scaled")

    for _ in range(3):
        wait_until(lambda: place.replicas() > 1, within_s=15, what="scaled again")
        place.kubectl("patch", "deployment/mail-worker", *ONE_REPLICA, f"--field-manager={manager}")
    told = place.await_condition("Conflicted", "RivalWriter")

    assert told["message"].startswith(told_of)
    assert place.replicas() == 1


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


def test_a_resource_made_anew_under_its_name_gets_a_status_of_its_own(
    place: Place, start: Start, dsn: str
) -> None:
    place.apply(deployment(), queue_worker(), secret(dsn))
    start()
    place.await_told("Ready")

    for _ in range(3):
        manifest = yaml.safe_dump(queue_worker())
        place.kubectl("replace", "--force", "--wait=false", "-f", "-", stdin=manifest)
        assert place.await_told("Ready")


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


@pytest.fixture
def other_dsn(server: str, template: str) -> Iterator[str]:
    with fresh_database(server, template) as address:
        yield address


def test_each_of_two_databases_has_a_loop_of_its_own(
    place: Place, other_dsn: str, start: Start, dsn: str, conn: Connection
) -> None:
    enqueue(conn, 100)
    with psycopg.connect(other_dsn, autocommit=True) as other:
        enqueue(other, 400)
    target = {"kind": "Deployment", "name": "other-worker"}
    reference = {"secretRef": {"name": "other-db"}}
    place.apply(deployment(), deployment("other-worker"), secret(dsn))
    place.apply(secret(other_dsn, "other-db"), queue_worker())
    place.apply(queue_worker("other", scaleTargetRef=target, database=reference))
    start()

    wait_until(lambda: place.replicas("other-worker") > 0, within_s=15, what="other scaled")
    wait_until(lambda: place.replicas() > 0, within_s=15, what="mail scaled")

    assert place.replicas("other-worker") > place.replicas()


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


def test_a_reason_to_worry_is_an_event_also_without_a_change_of_replicas(
    place: Place, start: Start, dsn: str, conn: Connection
) -> None:
    enqueue(conn, 500)
    place.apply(deployment(replicas=2), queue_worker(maxReplicas=2), secret(dsn))
    start()
    place.await_told("Ready")

    [event] = wait_until(place.events, within_s=15, what="an event")

    assert (event["reason"], event["type"]) == ("MaxReplicas", "Warning")
    assert "maxReplicas is 2" in event["message"]
    assert place.replicas() == 2


def test_a_healthy_start_warns_of_nothing(
    place: Place, start: Start, dsn: str, conn: Connection
) -> None:
    place.apply(deployment(replicas=1), queue_worker(minReplicas=1), secret(dsn))
    start()
    told = place.await_condition("Ready", "WaitingForFirstSample")
    assert "the 1 replica is held" in told["message"]

    enqueue(conn, 1)
    place.await_condition("Ready", "AsExpected")

    assert [event["message"] for event in place.events() if event["type"] == "Warning"] == []


def test_an_outage_at_the_start_is_warned_of_at_once(place: Place, start: Start) -> None:
    place.apply(deployment(replicas=1), queue_worker(), secret("host=127.0.0.1 port=1 dbname=x"))
    start()

    [event] = wait_until(place.events, within_s=15, what="an event")

    assert (event["reason"], event["type"]) == ("MetricsUnavailable", "Warning")
