"""`kubectl queueworker doctor` against a real API server and a real Postgres."""

import json
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.controlplane import ApiServer
from tests.support.mail import Body, Place, deployment, pod, queue_worker, secret
from tests.support.operator_process import kubeconfig_of_account
from tests.support.patient import STATUS
from tests.support.postgres import CANARY, Connection

from queueworker_operator.kube.signature import signature
from queueworker_operator.plugin import main

Output = pytest.CaptureFixture[str]
HPA: Body = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "old"},
    "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "mail-worker"},
        "maxReplicas": 3,
    },
}
OF_DATABASE = {"tls", "grants", "versions", "clock", "queues", "indexes", "bloat"}


@pytest.fixture
def place(crd: ApiServer, namespace: str, dsn: str) -> Place:
    place = Place(server=crd, namespace=namespace)
    place.apply(deployment(replicas=1), queue_worker(maxReplicas=5), secret(dsn))
    place.add_pod(pod("mail-worker-a"))
    return place


@pytest.fixture
def operated(place: Place, conn: Connection) -> Place:
    """As an operator, a worker and a producer leave it."""
    conn.execute("SELECT queueworker.ensure_queue('mail')")
    place.apply(lease(datetime.now(UTC)))
    ready = {"observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    conditions = [{**one, **ready} for one in STATUS["conditions"]]
    place.patch_status(
        "mail", {"observedGeneration": 1, "backlog": STATUS["backlog"], "conditions": conditions}
    )
    return place


def lease(renewed: datetime) -> Body:
    spec = {
        "holderIdentity": "operator-1_x",
        "renewTime": renewed.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "leaseDurationSeconds": 600,
    }
    meta = {"name": "queueworker-operator"}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}


def flags(place: Place) -> list[str]:
    return ["--kubeconfig", str(place.server.kubeconfig), "-n", place.namespace]


def levels(capsys: Output) -> dict[str, str]:
    [one] = json.loads(capsys.readouterr().out)
    return {finding["check"]: finding["level"] for finding in one["findings"]}


def test_a_healthy_queueworker_gets_no_fail_and_exit_0(operated: Place, capsys: Output) -> None:
    """The owner's role is a superuser here, and the server a local one: that is the one warning."""
    assert main(["doctor", "mail", "-o", "json", *flags(operated)]) == 0

    found = levels(capsys)
    assert len(found) >= 20
    assert {name for name, level in found.items() if level != "OK"} == {"grants"}
    assert found["grants"] == "WARN"


def test_what_is_broken_is_exit_1_and_a_command_that_stays_in_one_line(
    operated: Place, conn: Connection, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    operated.apply(HPA)
    conn.execute("DROP INDEX queueworker.job_default_lane_id_pos_idx")
    monkeypatch.setenv("COLUMNS", "48")

    assert main(["doctor", *flags(operated)]) == 1

    text = capsys.readouterr().out
    assert f"{operated.namespace}/mail: 21 checks, 18 OK, 1 WARN, 2 FAIL" in text
    assert f"-> kubectl -n {operated.namespace} delete hpa old\n" in text
    assert (
        "-> CREATE INDEX CONCURRENTLY ON queueworker.job_default (lane_id, pos)"
        " WHERE pos IS NOT NULL;\n"
    ) in text
    said = [line for line in text.splitlines()[1:] if "->" not in line]
    assert max(map(len, said)) <= 48
    assert "\x1b" not in text


def test_the_scaled_object_has_to_go_and_not_the_hpa_that_keda_makes_anew(
    operated: Place, capsys: Output
) -> None:
    """KEDA owns it as its controller; nothing here takes the owner for gone and collects it."""
    owner = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "mail"}
    kept = {"uid": "3d1cfcf6-8c2a-4a44-9d0a-000000000000", "controller": True}
    made = {"name": "keda-hpa-mail", "ownerReferences": [owner | kept]}
    operated.apply({**HPA, "metadata": made})

    assert main(["doctor", *flags(operated)]) == 1

    text = capsys.readouterr().out
    assert "ScaledObject mail scales deployment mail-worker too" in text
    assert f"-> kubectl -n {operated.namespace} delete scaledobject mail\n" in text


def test_a_database_that_is_away_leaves_its_checks_unknown(place: Place, capsys: Output) -> None:
    dsn = f"host=/nonexistent user=x password={CANARY} dbname=x"

    main(["doctor", "mail", "--dsn", dsn, *flags(place)])
    text = capsys.readouterr().out
    main(["doctor", "mail", "--dsn", dsn, "-o", "json", *flags(place)])
    found = levels(capsys)

    assert {found[name] for name in OF_DATABASE - {"tls"}} == {"UNKNOWN"}
    assert found["database"] == "UNKNOWN"
    assert "check that the host is up and reachable" in " ".join(text.split())
    assert CANARY not in text


def test_a_role_that_may_too_little_is_told_what_to_grant(
    operated: Place, dsn: str, conn: Connection, capsys: Output
) -> None:
    conn.execute("DROP ROLE IF EXISTS of_doctor")
    conn.execute("CREATE ROLE of_doctor LOGIN; GRANT queueworker_reader TO of_doctor")
    poor = dsn.replace("user=postgres", "user=of_doctor")

    assert main(["doctor", "mail", "--dsn", poor, *flags(operated)]) == 1
    assert "GRANT queueworker_operator TO of_doctor;" in capsys.readouterr().out
    conn.execute("GRANT queueworker_operator, pg_read_all_stats TO of_doctor")
    assert main(["doctor", "mail", "--dsn", poor, "-o", "json", *flags(operated)]) == 0
    assert set(levels(capsys).values()) == {"OK"}
    conn.execute("DROP ROLE of_doctor")


def test_what_the_user_may_not_read_is_unknown(
    operated: Place, tmp_path: Path, capsys: Output
) -> None:
    operated.kubectl("create", "serviceaccount", "queueworker")
    rules = ("--verb=get,list", "--resource=queueworkers.queueworker.dev,deployments.apps")
    operated.kubectl("create", "role", "looks", *rules)
    account = f"--serviceaccount={operated.namespace}:queueworker"
    operated.kubectl("create", "rolebinding", "looks", "--role=looks", account)
    mine = kubeconfig_of_account(operated.server, operated.namespace, tmp_path)

    main(["doctor", "mail", "--kubeconfig", str(mine), "-n", operated.namespace])
    text = capsys.readouterr().out

    for check in ("definition", "operator", "pods", "rivals", "secret", "database"):
        assert f"UNKNOWN  {check} " in text
    in_a_line = " ".join(text.split())
    assert f"not allowed to list pods in namespace {operated.namespace} (" in in_a_line
    assert "not allowed to list leases.coordination.k8s.io in the whole cluster (" in in_a_line
    assert "service account" not in in_a_line
    assert "ask who runs the cluster" not in in_a_line


def test_the_operator_of_another_team_does_not_stand_for_a_dead_one(
    operated: Place, capsys: Output
) -> None:
    other = Place(server=operated.server, namespace=f"{operated.namespace}-b")
    operated.server.kubectl("create", "namespace", other.namespace)
    other.apply(lease(datetime.now(UTC)))
    operated.apply(lease(datetime.now(UTC) - timedelta(hours=24)))
    signed = f"--field-manager={signature(operated.namespace)}"
    patch = json.dumps({"status": {"backlog": {"ready": 4}}})
    operated.kubectl(
        "patch", "queueworker", "mail", "--subresource=status", "--type=merge", "-p", patch, signed
    )

    assert main(["doctor", "mail", "-o", "json", *flags(operated)]) == 1

    found = levels(capsys)
    assert (found["operator"], found["resource"]) == ("FAIL", "WARN")


def test_a_missing_secret_is_a_fault_and_no_unknown(operated: Place, capsys: Output) -> None:
    operated.kubectl("delete", "secret", "mail-db")

    assert main(["doctor", "mail", "-o", "json", *flags(operated)]) == 1

    found = levels(capsys)
    assert (found["secret"], found["database"]) == ("FAIL", "UNKNOWN")


def test_all_of_a_namespace_are_judged(operated: Place, capsys: Output) -> None:
    other = queue_worker("reports", scaleTargetRef={"name": "report-worker"}, queues=["reports"])
    operated.apply(other)

    assert main(["doctor", "-o", "json", *flags(operated)]) == 1

    both = {one["name"]: one["findings"] for one in json.loads(capsys.readouterr().out)}
    missing = {f["check"]: f["level"] for f in both[f"{operated.namespace}/reports"]}
    assert set(both) == {f"{operated.namespace}/{name}" for name in ("mail", "reports")}
    assert missing["target"] == "FAIL"


def test_a_worker_that_hides_its_pod_is_found_and_the_command_mends_its_template(
    operated: Place, conn: Connection, capsys: Output
) -> None:
    conn.execute(
        "SELECT queueworker.register_worker(gen_random_uuid(), 'mail-worker-a', '', '', '0.1.0',"
        " ARRAY['mail'], ARRAY['send'], 10, 60)"
    )
    main(["doctor", "mail", "-o", "json", *flags(operated)])
    [one] = json.loads(capsys.readouterr().out)
    [found] = [finding for finding in one["findings"] if finding["check"] == "identity"]

    program, *arguments = shlex.split(found["remedy"])
    assert (found["level"], program) == ("WARN", "kubectl")
    operated.server.kubectl(*arguments)
    [container] = operated.get("deployment", "mail-worker")["spec"]["template"]["spec"][
        "containers"
    ]
    assert [entry["valueFrom"]["fieldRef"]["fieldPath"] for entry in container["env"]] == [
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
    ]
