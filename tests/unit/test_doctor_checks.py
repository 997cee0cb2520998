"""Each check of doctor: what it calls fine, what it finds, which command it gives, what it cannot know."""

import re
from dataclasses import fields
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo
from tests.support import patient
from tests.support.ailments import (
    backlog,
    born,
    found,
    hpa,
    hpa_of_keda,
    other,
    restarted,
    signed,
    target,
    tls,
    waiting,
    with_ready_pods,
    written_by,
)
from tests.support.pages import ROOT
from tests.support.patient import cluster, healthy, lags, lease, server, worker

from queueworker.schema.migrate import latest_version
from queueworker_operator.lag.examine import SCHEMA_VERSION, Rights, Table
from queueworker_operator.lag.foreign import refusal_of
from queueworker_operator.plugin.doctor.checks import CHECKS, examine
from queueworker_operator.plugin.doctor.facts import Facts, Read
from queueworker_operator.plugin.doctor.finding import Level
from queueworker_operator.plugin.doctor.gather import address_of

NEEDS_NO_READ = {"resource"}
NOT_READY = {"type": "Ready", "status": "False", "reason": "TargetMissing", "message": "gone"}
ELSEWHERE = {"name": "other-worker"}
BLOATED = Table(name="job_default", live=10, dead=500_000, size_bytes=9_000_000)
CASES: list[tuple[str, dict[str, Any], Level, str]] = [
    ("definition", {"cluster": cluster(definition=Read(patient.definition("queues")))}, Level.FAIL, "kubectl apply --server-side -f crds/"),
    ("operator", {"cluster": cluster(leases=Read([]))}, Level.FAIL, "kubectl get pods -A"),
    ("operator", {"cluster": cluster(leases=Read([lease("2025-12-31T23:50:00Z")]))}, Level.FAIL, "kubectl -n queueworker logs"),
    ("operator", {"cluster": cluster(leases=Read([lease(holder="")]))}, Level.FAIL, "kubectl -n queueworker logs"),
    ("resource", {"body": patient.body(minReplicas=60)}, Level.FAIL, "kubectl -n shop edit queueworker mail"),
    ("resource", {"body": patient.body({"conditions": []})}, Level.FAIL, "kubectl get pods -A"),
    ("resource", {"body": patient.body({"observedGeneration": 0})}, Level.WARN, "get queueworker mail --watch"),
    ("resource", {"body": patient.body({"conditions": [NOT_READY]})}, Level.FAIL, "kubectl queueworker status mail -n shop"),
    ("promise", {"body": backlog(startUpSeconds=45.0)}, Level.WARN, '"minReplicas":1'),
    ("target", {"deployment": Read(why="gone", missing=True)}, Level.FAIL, "kubectl -n shop get deployments"),
    ("target", {"pods": Read([])}, Level.FAIL, "describe deployment mail-worker"),
    ("pods", {"pods": waiting("ImagePullBackOff")}, Level.FAIL, "describe pod mail-worker-a"),
    ("pods", {"pods": restarted()}, Level.WARN, "logs mail-worker-a --previous"),
    ("rivals", {"scalers": hpa()}, Level.FAIL, "kubectl -n shop delete hpa old"),
    ("rivals", {"scalers": hpa("ScaledObject")}, Level.FAIL, "delete scaledobject old"),
    ("rivals", {"scalers": hpa_of_keda()}, Level.FAIL, "kubectl -n shop delete scaledobject mail"),
    ("rivals", {"queue_workers": other()}, Level.FAIL, "delete queueworker other"),
    ("rivals", {"queue_workers": other(scaleTargetRef=ELSEWHERE)}, Level.FAIL, "delete queueworker other"),
    ("rivals", {"body": born("2026-02-02T00:00:00Z"), "queue_workers": other()}, Level.FAIL, "delete queueworker mail"),
    ("rivals", {"body": signed(shop="2025-12-31T23:58:00Z", ops="2025-12-31T23:59:00Z")}, Level.FAIL, "helm list --all-namespaces"),
    ("rivals", {"deployment": written_by("argocd-controller")}, Level.WARN, "--show-managed-fields"),
    ("grace", {"deployment": target(env=[{"name": "QUEUEWORKER_GRACE_S", "value": "300"}])}, Level.FAIL, '"terminationGracePeriodSeconds":300'),
    ("grace", {"deployment": target(args=["--grace", "90.5"])}, Level.FAIL, '"terminationGracePeriodSeconds":91'),
    ("grace", {"body": backlog(serviceSeconds=45.0)}, Level.FAIL, '"terminationGracePeriodSeconds":150'),
    ("grace", {"body": backlog(serviceSeconds=20.0)}, Level.WARN, '"terminationGracePeriodSeconds":60'),
    ("grace", {"workers": Read((worker(oldest_start_age_s=90.0),))}, Level.WARN, "--grace 270"),
    ("signals", {"deployment": target(command=["/bin/sh", "-c"], args=["queueworker worker"])}, Level.WARN, "edit deployment mail-worker"),
    ("identity", {"workers": Read((worker(namespace=""),))}, Level.WARN, '"fieldPath":"metadata.namespace"'),
    ("secret", {"secret_fault": "Secret shop/mail-db does not exist"}, Level.FAIL, "kubectl -n shop create secret generic mail-db --from-literal=dsn="),
    ("database", {"refused": "the user or the password was refused"}, Level.FAIL, "edit secret mail-db"),
    ("database", {"server": server(standby=True)}, Level.FAIL, "primary"),
    ("tls", {"server": server(encrypted=False)}, Level.WARN, "sslmode=verify-full"),
    ("tls", {"address": tls("require")}, Level.WARN, "sslmode=verify-full"),
    ("grants", {"rights": Read(Rights(missing=("sweep",), refused=()))}, Level.FAIL, "queueworker migrate"),
    ("grants", {"rights": Read(Rights(missing=(), refused=("sweep",)))}, Level.FAIL, "GRANT queueworker_operator TO mail_operator;"),
    ("grants", {"server": server(superuser=True)}, Level.WARN, "CREATE ROLE"),
    ("versions", {"cluster": cluster(server_version=Read("v1.30.4"))}, Level.WARN, "upgrade the cluster"),
    ("versions", {"schema_version": Read(SCHEMA_VERSION - 1)}, Level.FAIL, "queueworker migrate"),
    ("versions", {"server": server(major=14, version="14.9")}, Level.WARN, "tested version"),
    ("versions", {"workers": Read((worker(version="0.0.9"),))}, Level.WARN, "rollout status"),
    ("clock", {"clock_ahead_s": Read(-5.0)}, Level.WARN, "chronyc tracking"),
    ("clock", {"clock_ahead_s": Read(60.0)}, Level.FAIL, "chronyc tracking"),
    ("queues", {"body": patient.body(queues=["nowhere"])}, Level.WARN, "queueworker stats"),
    ("queues", {"lags": lags(paused=True)}, Level.WARN, "queueworker queue resume mail"),
    ("queues", {"lags": lags(workers=1, ready=1, ready_by_task={"sned": 1}, worker_tasks=("send",))}, Level.FAIL, "queueworker job cancel --queue mail --task sned"),
    ("queues", {"lags": lags(workers=0, ready=3), "deployment": with_ready_pods(2)}, Level.FAIL, "get deployment mail-worker"),
    ("queues", {"lags": lags(dead=7)}, Level.WARN, "kubectl queueworker dead mail -n shop"),
    ("indexes", {"missing_indexes": Read(("job_default (lane_id, pos)",))}, Level.FAIL, "CREATE INDEX CONCURRENTLY ON queueworker.job_default (lane_id, pos)"),
    ("indexes", {"missing_indexes": Read(("job_q7 (id)",))}, Level.FAIL, "ALTER TABLE queueworker.job_q7 ADD PRIMARY KEY (id);"),
    ("bloat", {"tables": Read((BLOATED,))}, Level.WARN, "VACUUM (VERBOSE) queueworker.job_default;"),
    ("transactions", {"server": server(oldest_transaction_s=9000.0)}, Level.WARN, "pg_stat_activity"),
    ("transactions", {"server": server(transaction_id_age=600_000_000)}, Level.WARN, "VACUUM (FREEZE"),
    ("transactions", {"server": server(transaction_id_age=1_600_000_000)}, Level.FAIL, "VACUUM (FREEZE"),
    ("connections", {"server": server(max_connections=100)}, Level.WARN, "ALTER SYSTEM SET max_connections = 239"),
]  # fmt: skip


def test_there_are_at_least_twenty_and_all_are_fine_with_a_healthy_queueworker() -> None:
    findings = examine(healthy())

    assert [f for f in findings if f.level is not Level.OK] == []
    assert len(findings) >= 20


@pytest.mark.parametrize(("check", "changes", "level", "remedy"), CASES)
def test_what_is_wrong_is_found_with_the_command_that_mends_it(
    check: str, changes: dict[str, Any], level: Level, remedy: str
) -> None:
    finding = found(check, healthy(**changes))

    assert (finding.level, remedy in finding.remedy) == (level, True), finding


def suggested(remedy: str) -> list[str]:
    """Give what a remedy says to write as, or into, a connection string."""
    words = "|".join(option.keyword.decode() for option in Conninfo.get_defaults())
    return re.findall(rf"postgresql://\S+|\b(?:{words})=[^\s;,&]+", remedy)


def test_each_connection_string_that_is_suggested_is_taken_from_a_secret() -> None:
    found_in = {
        check: suggested(found(check, healthy(**changes)).remedy) for check, changes, *_ in CASES
    }

    assert {"secret", "tls"} == {check for check, strings in found_in.items() if strings}
    for string in (one for strings in found_in.values() for one in strings):
        assert conninfo_to_dict(string)
        assert refusal_of(string) is None


def test_the_systems_certificates_alone_prove_who_answers() -> None:
    address = Read(address_of("host=db dbname=mail sslrootcert=system"))

    assert found("tls", healthy(address=address)).level is Level.OK


@pytest.mark.parametrize("page", ["README.md", "docs/howto/why.md"])
def test_the_pages_count_them_right(page: str) -> None:
    assert f"{len(CHECKS)} checks, each with the command" in (ROOT / page).read_text()


def test_every_check_can_find_something() -> None:
    assert {case[0] for case in CASES} == set(CHECKS)


def test_what_could_not_be_read_is_never_fine() -> None:
    bare = Facts(body=patient.body(), cluster=cluster())
    unread = Facts(
        body=bare.body,
        cluster=cluster(
            server_version=Read(why="x"), definition=Read(why="x"), leases=Read(why="x")
        ),
    )

    levels = {finding.check: finding.level for finding in examine(unread)}

    fine = {name for name, level in levels.items() if level is Level.OK}
    assert fine <= NEEDS_NO_READ | {"promise"}
    assert set(levels.values()) == {Level.OK, Level.UNKNOWN}


@pytest.mark.parametrize(
    "name",
    [one.name for one in fields(Facts) if isinstance(getattr(healthy(), one.name), Read)],
)
def test_the_reason_why_a_fact_is_not_known_is_told(name: str) -> None:
    findings = examine(healthy(**{name: Read(why="the network is down")}))

    unknown = [one for one in findings if one.level is not Level.OK]
    assert unknown
    assert {one.level for one in unknown} == {Level.UNKNOWN}
    assert {one.said for one in unknown} == {"the network is down"}


def test_the_schema_that_is_looked_for_is_the_newest() -> None:
    assert latest_version() == SCHEMA_VERSION
