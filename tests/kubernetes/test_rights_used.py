"""What the chart grants the operator is what it uses: both sides are read, roles and audit log."""

import json
import re
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.faults.test_31_operator_killed import Scene
from tests.support.api_proxy import Fault
from tests.support.audit import Asked, Rights, account, asked, used
from tests.support.chart import DEFINITION, ROOT, render, rights
from tests.support.controlplane import ApiServer, run_api_server
from tests.support.mail import Place, deployment, queue_worker, secret
from tests.support.operator_bench import OperatorBench, operator_bench
from tests.support.operator_process import grant
from tests.support.waiting import wait_until

from queueworker_operator.leader import LEASE_NAME

PAGE = ROOT / "docs/reference/rights.md"
KIND = "queueworkers.queueworker.dev"
LEASES = "leases.coordination.k8s.io"
FORBIDDEN = 403
DISCOVERY = re.compile(r"/(api|apis|version)(/|$)")  # Kubernetes lets every account read these
ROW = re.compile(r"^\| `([a-z./0-9]+)` \| ([a-z, ]+) \| (.+) \|$", re.MULTILINE)
CAPTURE = re.compile(r"^```text\n(Resources.*?)^```$", re.MULTILINE | re.DOTALL)
WANTED = (
    "update deployments",
    "patch deployments",
    "delete pods",
    "create pods/exec",
    "patch queueworkers",
    "impersonate serviceaccounts",
    "create serviceaccounts/token",
    "escalate roles",
    "delete leases",
    "get configmaps",
    "get nodes",
)
Ask = Callable[..., str]


@pytest.fixture(scope="module")
def audited() -> Iterator[ApiServer]:
    with run_api_server(audited=True) as server:
        server.define(DEFINITION)
        yield server


@pytest.fixture(params=["Namespaced", "Cluster"])
def scope(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bench(audited: ApiServer, scope: str, dsn: str, tmp_path: Path) -> Iterator[OperatorBench]:
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    audited.kubectl("create", "namespace", namespace)
    grant(audited, namespace, "--set", f"scope={scope}")
    place = Place(server=audited, namespace=namespace)
    with operator_bench(place, dsn, tmp_path) as bench:
        yield bench
    place.kubectl("delete", "queueworkers", "--all")  # of no concern to the next operator


def granted(namespace: str, scope: str) -> Rights:
    """Give what the chart's roles allow, whatever they are called; names apart."""
    found: Rights = {}
    settings = ("--set", "rbac.aggregateRoles=false", "--set", f"scope={scope}")
    for body in render("--namespace", namespace, *settings):
        if body["kind"] in {"Role", "ClusterRole"}:
            for key, verbs in rights(body).items():
                found.setdefault(key.partition(":")[0], set()).update(verbs)
    return found


def scale_in_and_out(bench: OperatorBench, **environ: str) -> None:
    """Scale out, over a conflict; in, with a drain and a deletion cost; a pod ends."""
    scene = Scene(bench)
    scene.begin(**environ)
    bench.api.fault = Fault(matches=lambda seen: seen.is_scale, times=1, status=409)
    bench.ask(3)
    bench.await_replicas(3)
    bench.ask(1)
    scene.run_to_its_end()


def rotate_a_secret(bench: OperatorBench) -> None:
    place = bench.place
    name = "rotated"
    outdated = bench.dsn.replace("user=postgres", "user=rotated_away")
    reference = {"secretRef": {"name": name}}
    target = {"name": name}
    place.apply(secret(outdated, name), deployment(name))
    place.apply(queue_worker(name, queues=[name], database=reference, scaleTargetRef=target))
    place.await_condition("MetricsAvailable", "AccessRefused", name=name)
    place.apply(secret(bench.dsn, name))
    wait_until(
        lambda: place.condition("MetricsAvailable", name).get("reason") != "AccessRefused",
        within_s=20,
        what="the new Secret is read",
    )


def make_the_kind_anew(bench: OperatorBench) -> None:
    """Delete the kind and install it again; whether the operator outlived that is of no concern."""
    server = bench.place.server
    server.kubectl("delete", "crd", KIND, "--wait=true", "--timeout=20s")
    server.define(DEFINITION)
    bench.end(bench.started[-1][0])


def test_every_right_that_is_granted_is_used_and_no_other_is_asked_for(
    bench: OperatorBench, scope: str
) -> None:
    namespace = bench.place.namespace
    environ = {"QUEUEWORKER_OPERATOR_LEADER_NAMESPACE": namespace}
    if scope == "Cluster":
        environ["QUEUEWORKER_OPERATOR_ALL_NAMESPACES"] = "true"

    scale_in_and_out(bench, **environ)
    rotate_a_secret(bench)
    make_the_kind_anew(bench)
    bench.await_leader(bench.start(environ=environ))

    requests = asked(bench.place.server, account(namespace))
    assert [request for request in requests if request.status == FORBIDDEN] == []
    assert used(requests) == granted(namespace, scope)
    assert_narrow(requests, namespace, scope)


def assert_narrow(requests: list[Asked], namespace: str, scope: str) -> None:
    """Only what is named; only in the namespace, or by lists of the whole cluster."""
    wide = {request.verb for request in requests if request.resource and not request.namespace}
    assert wide == ({"list", "watch"} if scope == "Cluster" else set())
    assert {request.namespace for request in requests} - {"", namespace} == set()
    leases = [request for request in requests if request.resource == LEASES]
    assert {request.name for request in leases if request.verb != "create"} == {LEASE_NAME}
    secrets = {request.name for request in requests if request.resource == "secrets"}
    assert secrets == {"mail-db", "rotated"}
    paths = {request.path for request in requests if not request.resource}
    assert [path for path in paths if not DISCOVERY.match(path)] == []


@pytest.fixture
def can_i(bench: OperatorBench) -> Ask:
    """Ask `kubectl auth can-i` as the operator; "no" is an answer, not a failure."""
    server, namespace = bench.place.server, bench.place.namespace

    def can_i(*words: str) -> str:
        try:
            return server.kubectl("auth", "can-i", *words, "--as", account(namespace))
        except subprocess.CalledProcessError as refused:
            return str(refused.stdout)

    return can_i


def test_the_page_of_rights_shows_what_kubectl_says_of_them(
    bench: OperatorBench, can_i: Ask, scope: str
) -> None:
    page = PAGE.read_text()
    table = {name: set(verbs.split(", ")) for name, verbs, _ in ROW.findall(page)}
    [capture] = CAPTURE.findall(page)

    assert table == granted(bench.place.namespace, scope)
    said = can_i("--list", "-n", bench.place.namespace)
    assert sorted(said.splitlines()) == sorted(capture.splitlines())


def test_no_secret_can_be_listed_and_nothing_that_an_attacker_would_want(
    bench: OperatorBench, can_i: Ask
) -> None:
    def told(*words: str) -> str:
        return can_i(*words).splitlines()[-1]

    for verb in ("list", "watch", "create", "patch", "delete"):
        assert told(verb, "secrets", "-A") == told(verb, "secrets") == "no", verb
    for right in WANTED:
        assert told(*right.split(), "-n", bench.place.namespace) == "no", right
    assert told("get", "secrets", "-n", bench.place.namespace) == "yes"


def test_other_namespaces_are_closed_to_an_operator_of_one(
    bench: OperatorBench, scope: str
) -> None:
    server, user = bench.place.server, account(bench.place.namespace)
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": {"namespace": "default", "verb": "get"}},
    }
    review["spec"]["resourceAttributes"] |= {"resource": "secrets", "name": "mail-db"}  # type: ignore[index]
    asked_of = server.kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(review))

    assert json.loads(asked_of)["status"].get("allowed", False) is (scope == "Cluster")
