"""Who writes a QueueWorker must himself have the rights that it uses: the chart's optional policy."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping

import pytest
import yaml
from tests.support.audit import account
from tests.support.chart import DEFINITION, ROOT, cluster_name, named, render
from tests.support.controlplane import ApiServer, run_api_server
from tests.support.mail import Place, queue_worker
from tests.support.operator_process import grant
from tests.support.waiting import wait_until

PAGE = ROOT / "docs/howto/several-teams.md"
POLICY_KINDS = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
IN_FORCE_WITHIN_S = 30.0
SCALE = ("patch", "deployments.apps", "scale", "mail-worker")
SCALE_ALL = ("patch", "deployments.apps", "scale", None)
SECRET = ("get", "secrets", None, "mail-db")
Right = tuple[str, str, str | None, str | None]
WITH_BOTH, WITHOUT_SECRET, WITHOUT_SCALE, WITH_ALL = (
    "with-both",
    "no-secret",
    "no-scale",
    "with-all",
)
USERS: dict[str, tuple[Right, ...]] = {
    WITH_BOTH: (),  # the page's Role
    WITHOUT_SECRET: (SCALE,),
    WITHOUT_SCALE: (SECRET,),
    WITH_ALL: (SCALE_ALL, SECRET),
}
Refused = Callable[..., str]


def block(language: str) -> str:
    """Give the one block of the page in this language."""
    [text] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return str(text)


def give(place: Place, user: str, right: Right) -> None:
    verb, resource, sub, name = right
    role = f"{user}-{resource.partition('.')[0]}"
    full = f"{resource}/{sub}" if sub else resource
    only = () if name is None else (f"--resource-name={name}",)
    place.kubectl("create", "role", role, f"--verb={verb}", f"--resource={full}", *only)
    place.kubectl("create", "rolebinding", role, f"--role={role}", f"--user={user}")


@pytest.fixture(scope="module")
def guarded() -> Iterator[Place]:
    """Give a namespace with the policy in force, the operator's account and four editors.

    The policy holds for a whole cluster: the server is the module's own.
    """
    with run_api_server() as server:
        server.define(DEFINITION)
        yield _guarded(server)


def _guarded(server: ApiServer) -> Place:
    name = "mail"  # as on the page
    server.kubectl("create", "namespace", name)
    place = Place(server=server, namespace=name)
    grant(server, name)
    objects = render("--namespace", name, "--set", "admissionPolicy.enabled=true")
    roles = [named(objects, "ClusterRole", f"{cluster_name()}-{of}") for of in ("view", "edit")]
    policy = [body for body in objects if body["kind"] in POLICY_KINDS]
    server.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all([*roles, *policy]))
    # kubectl reads before it patches; the operator does not.
    place.kubectl(
        "create",
        "rolebinding",
        "reads",
        f"--clusterrole={cluster_name()}-view",
        f"--user={account(name)}",
    )
    for user, rights in USERS.items():
        for role in (body["metadata"]["name"] for body in roles):
            binding = ("create", "rolebinding", f"{user}-{role}", f"--clusterrole={role}")
            place.kubectl(*binding, f"--user={user}")
        for right in rights:
            give(place, user, right)
    role = yaml.safe_load(block("yaml"))
    place.apply(role)
    bound = ("create", "rolebinding", "page", f"--role={role['metadata']['name']}")
    place.kubectl(*bound, f"--user={WITH_BOTH}")
    wait_until(lambda: in_force(place), within_s=IN_FORCE_WITHIN_S, what="the policy is in force")
    place.apply(queue_worker("kept"))
    return place


def create(place: Place, user: str, body: dict[str, object]) -> str:
    request = ("create", "--dry-run=server", "-f", "-", "--as", user)
    return place.kubectl(*request, stdin=json.dumps(body))


def in_force(place: Place) -> bool:
    try:
        create(place, WITHOUT_SCALE, queue_worker())
    except subprocess.CalledProcessError as refused:
        return "denied request" in str(refused.stderr)
    return False


@pytest.fixture
def refused(guarded: Place) -> Refused:
    """Give what the API server says to a user whom it refuses."""

    def refused(user: str, *words: str, stdin: str | None = None) -> str:
        with pytest.raises(subprocess.CalledProcessError) as told:
            guarded.kubectl(*words, "--as", user, stdin=stdin)
        return str(told.value.stderr)

    return refused


def patch(change: Mapping[str, object], *more: str) -> tuple[str, ...]:
    return ("patch", "queueworker", "kept", "--type=merge", "-p", json.dumps(change), *more)


def test_who_has_both_rights_may_create_and_change(guarded: Place) -> None:
    assert "created" in create(guarded, WITH_BOTH, queue_worker())
    guarded.kubectl(*patch({"spec": {"maxReplicas": 20}}), "--as", WITH_BOTH)

    assert guarded.get("queueworker", "kept")["spec"]["maxReplicas"] == 20


def test_who_may_not_scale_is_told_which_right_is_missing_and_what_to_ask_for(
    refused: Refused,
) -> None:
    told = refused(WITHOUT_SCALE, "create", "-f", "-", stdin=json.dumps(queue_worker()))

    assert "you may not patch deployments/scale mail-worker in namespace mail" in told
    assert "ask for a Role with patch on deployments/scale of apps" in told


def test_who_may_not_read_the_secret_is_told_so(refused: Refused) -> None:
    told = refused(WITHOUT_SECRET, "create", "-f", "-", stdin=json.dumps(queue_worker()))

    assert block("text").strip() in told


def test_a_right_on_one_deployment_or_secret_is_none_on_another(refused: Refused) -> None:
    elsewhere = queue_worker(scaleTargetRef={"name": "other"})
    other = queue_worker(database={"secretRef": {"name": "other-db"}})

    told = refused(WITH_BOTH, "create", "-f", "-", stdin=json.dumps(elsewhere))
    assert "you may not patch deployments/scale other" in told
    told = refused(WITH_BOTH, "create", "-f", "-", stdin=json.dumps(other))
    assert "you may not get secrets other-db" in told


def test_a_change_needs_the_rights_too_and_a_label_does_not(
    guarded: Place, refused: Refused
) -> None:
    told = refused(WITHOUT_SCALE, *patch({"spec": {"minReplicas": 9}}))
    guarded.kubectl(*patch({"metadata": {"labels": {"team": "mail"}}}), "--as", WITHOUT_SCALE)

    assert "you may not patch deployments/scale mail-worker" in told
    assert guarded.get("queueworker", "kept")["spec"]["minReplicas"] == 0


def test_scaling_by_hand_needs_the_right_on_every_deployment(
    guarded: Place, refused: Refused
) -> None:
    """The request names the QueueWorker alone; which Deployment it leads to is not in it."""
    scale = ("scale", "queueworker", "kept", "--replicas=3")

    told = refused(WITHOUT_SCALE, *scale)
    assert "set spec.replicas of the QueueWorker instead" in told
    assert "set spec.replicas" in refused(WITH_BOTH, *scale)
    guarded.kubectl(*patch({"spec": {"replicas": 2}}), "--as", WITH_BOTH)
    guarded.kubectl(*scale, "--as", WITH_ALL)
    assert guarded.get("queueworker", "kept")["spec"]["replicas"] == 3


def test_the_operator_writes_statuses_and_anyone_may_delete(guarded: Place) -> None:
    status = {"status": {"observedGeneration": 1}}
    operator = ("--as", account("mail"))
    guarded.kubectl(*patch(status, "--subresource=status"), *operator)
    guarded.apply(queue_worker("short-lived"))

    guarded.kubectl("delete", "queueworker", "short-lived", "--as", WITHOUT_SCALE)

    assert guarded.get("queueworker", "kept")["status"]["observedGeneration"] == 1


def test_other_namespaces_than_the_watched_ones_are_not_its_concern(
    guarded: Place,
) -> None:
    place = Place(server=guarded.server, namespace="unwatched")
    place.server.kubectl("create", "namespace", place.namespace)
    binding = ("create", "rolebinding", "edit", f"--clusterrole={cluster_name()}-edit")
    place.kubectl(*binding, f"--user={WITHOUT_SCALE}")

    assert "created" in create(place, WITHOUT_SCALE, queue_worker())


def test_it_is_off_until_asked_for_and_covers_the_cluster_in_cluster_scope() -> None:
    assert POLICY_KINDS.isdisjoint(body["kind"] for body in render())
    wide = render("--set", "admissionPolicy.enabled=true", "--set", "scope=Cluster")
    assert "matchResources" not in named(wide, "ValidatingAdmissionPolicyBinding")["spec"]
