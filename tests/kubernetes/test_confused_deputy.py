"""Who may write a QueueWorker, and no more, tries to make the operator act for him, elsewhere.

The operator serves the whole cluster, so its own rights would let it. Namespace `tenant` is the
attacker's; `victim` has a Deployment and a Secret of the same kinds; `system` is the operator's.
"""

import contextlib
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
import yaml
from tests.kubernetes.test_invalid_resources import answer, invalid
from tests.support.attempts import ALL, LENT, SERVED, bodies, filled, operators_own
from tests.support.audit import Asked, account, asked
from tests.support.chart import DEFINITION, cluster_name, named, render
from tests.support.controlplane import ApiServer, run_api_server
from tests.support.hostile_server import ASKS_FOR_PASSWORD, HostileServer
from tests.support.judge import judged
from tests.support.mail import Body, Place, deployment, queue_worker, secret
from tests.support.operator_process import (
    Operator,
    grant,
    kubeconfig_of_account,
    running_operator,
)
from tests.support.postgres import CANARY, fresh_database
from tests.support.waiting import wait_until

STOLEN = "metadata-9c2e-credential"  # what a server answers that is no database
HIDDEN = (CANARY, LENT, STOLEN)
WITHIN_S = 30.0
LONGEST_TOLD = 400
LONGEST_LINE = 2000
SCALED = json.dumps({"spec": {"replicas": 2}})
TRAP = """
    CREATE SCHEMA evil;
    CREATE FUNCTION evil.date_part(text, timestamptz) RETURNS float8 LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION 'taken in'; END $$;
"""
PLACES = ("system", "victim", "tenant")
READS = {"get", "list", "watch"}
EDITOR = "editor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A cluster after all attempts, with the operator at work."""

    server: ApiServer
    operator: Operator
    asking: HostileServer
    before: dict[str, str]

    @property
    def tenant(self) -> Place:
        return Place(server=self.server, namespace="tenant")

    def requests(self) -> list[Asked]:
        return asked(self.server, account("system"))


def versions(server: ApiServer) -> dict[str, str]:
    """Give the versions of all that is not the attacker's."""
    kinds = ("deployments", "secrets", "serviceaccounts", "pods")
    found = {}
    for namespace in ("victim", "system"):
        for kind in kinds:
            listed = json.loads(server.kubectl("get", kind, "-n", namespace, "-o", "json"))
            for body in listed["items"]:
                meta = body["metadata"]
                found[f"{namespace}/{kind}/{meta['name']}"] = meta["resourceVersion"]
    return found


def databases(stack: contextlib.ExitStack, server: str, template: str) -> dict[str, str]:
    """Make a database of the tenant's, with a trap, and one of the victim's; give their DSNs."""
    dsns = [stack.enter_context(fresh_database(server, template)) for _ in range(2)]
    with psycopg.connect(dsns[0], autocommit=True) as conn:
        conn.execute(TRAP)
        conn.execute("SELECT queueworker.ensure_queue('search-path')")
    return {"database": dsns[0], "victim": dsns[1]}


def settle(api: ApiServer, dsn: str) -> None:
    """Make what the attacker is after, and give him what the chart gives to editors."""
    for name in PLACES:
        api.kubectl("create", "namespace", name)
    grant(api, "system", "--set", "scope=Cluster")
    Place(server=api, namespace="victim").apply(deployment(replicas=3), secret(dsn, "victim-db"))
    Place(server=api, namespace="system").apply(deployment("queueworker", replicas=1))
    edit = named(render(), "ClusterRole", f"{cluster_name()}-edit")
    api.kubectl("apply", "-f", "-", stdin=json.dumps(edit))
    role, user = f"--clusterrole={edit['metadata']['name']}", f"--user={EDITOR}"
    api.kubectl("create", "rolebinding", "editor", role, user, "-n", "tenant")


def stateful_set() -> Body:
    body = deployment("stateful")
    return body | {"kind": "StatefulSet", "spec": body["spec"] | {"serviceName": "stateful"}}


@pytest.fixture(scope="module")
def stage(server: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("deputy")
    with contextlib.ExitStack() as stack:
        api = stack.enter_context(run_api_server(audited=True))
        api.define(DEFINITION)
        known = databases(stack, server, template)
        settle(api, known["victim"])
        answers = f"HTTP/1.1 200 OK\r\n\r\n{STOLEN}".encode()
        web = stack.enter_context(HostileServer(answers))
        asking = stack.enter_context(HostileServer(ASKS_FOR_PASSWORD))
        before = versions(api)
        known |= {"web": str(web.port), "asking": str(asking.port)}
        tenant = Place(server=api, namespace="tenant")
        made = {name: filled(attempt, **known) for name, attempt in ALL.items()}
        listed = [body for name, attempt in made.items() for body in bodies(name, attempt)]
        tenant.kubectl("create", "-f", "-", stdin=yaml.safe_dump_all([*listed, stateful_set()]))
        kubeconfig = kubeconfig_of_account(api, "system", folder)
        home = operators_own(folder)
        conn = stack.enter_context(psycopg.connect(known["database"], autocommit=True))
        judge = stack.enter_context(judged(tenant, lambda: [conn]))
        operator = stack.enter_context(
            running_operator(judge, kubeconfig, folder / "log", environ=home)
        )
        yield Stage(server=api, operator=operator, asking=asking, before=before)


@pytest.mark.parametrize("name", ALL)
def test_an_attempt_ends_in_a_condition_that_names_what_is_wrong(stage: Stage, name: str) -> None:
    attempt = ALL[name]

    told = stage.tenant.await_condition(*attempt.told, name=name, within_s=WITHIN_S)

    assert attempt.words in told["message"]
    assert told["message"].isprintable()
    assert len(told["message"]) < LONGEST_TOLD
    assert stage.tenant.replicas(name) == 0


REFUSED = {
    "spec.scaleTargetRef.name": ("victim/mail-worker", "../../victim/deployments/mail-worker"),
    "spec.database.secretRef.name": ("victim/victim-db", "..%2f..%2fvictim%2fsecrets%2fvictim-db"),
    "spec.database.secretRef.key": ("../dsn", "dsn\n"),
    "spec.queues[0]": ('mail",namespace="victim', "x\x1b[31m", "'; DROP TABLE queueworker.job; --"),
    "spec.scaleTargetRef.namespace": ("victim",),
    "spec.database.secretRef.namespace": ("victim",),
    "spec.scaleTargetRef.kind": ("StatefulSet", "Node"),
    "spec.scaleTargetRef.apiVersion": ("v1",),
}


@pytest.mark.parametrize("field", REFUSED)
def test_what_leads_out_of_the_namespace_is_refused_by_the_api_server(
    stage: Stage, field: str
) -> None:
    for value in REFUSED[field]:
        status, message = answer(stage.server, invalid({"set": field, "to": value}))
        assert status in {400, 422}
        assert field in message


def test_an_editor_can_write_no_status_and_no_event_in_the_operators_name(stage: Stage) -> None:
    lie = stage.tenant.get("queueworker", "a-path") | {"status": {"replicas": {"desired": 9000}}}
    path = "/apis/queueworker.dev/v1alpha1/namespaces/tenant/queueworkers/a-path/status"
    change = ("replace", "--raw", path, "-f", "-", "--as", EDITOR)

    with pytest.raises(subprocess.CalledProcessError) as refused:
        stage.tenant.kubectl(*change, stdin=json.dumps(lie))

    assert 'cannot update resource "queueworkers/status"' in refused.value.stderr


def test_an_annotation_and_a_label_change_nothing(stage: Stage) -> None:
    """kopf keeps its memory in annotations where it is let; here it is not."""
    lie = queue_worker("other", scaleTargetRef={"name": "mail-worker"})["spec"]
    marks = [
        f"queueworker.dev/last-handled-configuration={json.dumps({'spec': lie})}",
        "controller.kubernetes.io/pod-deletion-cost=-2147483648",
    ]
    stage.tenant.kubectl("annotate", "queueworker", "search-path", *marks)
    stage.tenant.kubectl("label", "queueworker", "search-path", "namespace=victim")
    stage.tenant.kubectl("patch", "queueworker", "search-path", "--type=merge", "-p", SCALED)

    wait_until(lambda: stage.tenant.replicas("search-path") == 2, within_s=15, what="scaled")
    assert versions(stage.server) == stage.before


def test_nothing_of_another_namespace_was_written_and_no_secret_of_it_read(stage: Stage) -> None:
    for name, attempt in ALL.items():
        stage.tenant.await_condition(*attempt.told, name=name, within_s=WITHIN_S)
    requests = stage.requests()
    writes = {(r.namespace, r.resource) for r in requests if r.verb not in READS}
    named = {(r.namespace, r.name) for r in requests if r.resource == "secrets"}

    assert {place for place, _ in writes} == {"tenant", "system"}
    assert {what for place, what in writes if place == "system"} == {"leases.coordination.k8s.io"}
    asked_for = {
        (attempt.spec or {}).get("database", {}).get("secretRef", {}).get("name", name)
        for name, attempt in ALL.items()
    }
    assert named == {("tenant", name) for name in asked_for}
    assert versions(stage.server) == stage.before


def test_a_server_of_the_attackers_is_not_lent_the_operators_password(stage: Stage) -> None:
    stage.tenant.await_condition(*SERVED["asks-for-a-password"].told, name="asks-for-a-password")

    assert b"user" in stage.asking.heard  # it was reached
    assert LENT.encode() not in stage.asking.heard


def test_no_secret_and_no_line_of_the_attackers_stands_in_any_output(stage: Stage) -> None:
    for name, attempt in ALL.items():
        stage.tenant.await_condition(*attempt.told, name=name, within_s=WITHIN_S)
    listed = stage.tenant.kubectl("get", "queueworkers,events", "-o", "json")
    log = stage.operator.log.read_text()
    said = log + listed + stage.operator.get("/metrics")[1]

    assert [hidden for hidden in HIDDEN if hidden in said] == []
    assert "Traceback" not in log
    lines = [json.loads(line) for line in log.splitlines()]  # libpq's own words would be no JSON
    assert not [line for line in lines if len(json.dumps(line)) > LONGEST_LINE]
    assert "\x1b" not in log


def test_one_that_hangs_or_is_huge_holds_up_no_other(stage: Stage) -> None:
    """Beside them all an honest one is scaled within the usual time."""
    stage.tenant.await_condition(*SERVED["search-path"].told, name="search-path")
    code, text = stage.operator.get("/livez")

    assert (code, text) == (200, "ok\n")
    exported = stage.operator.get("/metrics")[1]
    read = set(
        re.findall(r'^queueworker_ready_jobs\{.*queueworker="([^"]+)"', exported, re.MULTILINE)
    )
    ages = re.findall(
        r'^queueworker_metric_age_seconds\{.*queueworker="([^"]+)"\} (\S+)$', exported, re.MULTILINE
    )

    assert read
    assert max(float(age_s) for name, age_s in ages if name in read) < 10
