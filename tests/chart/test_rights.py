"""The operator may do what its code does, and nothing else."""

import re
from typing import Any

import pytest
from tests.support.chart import CI_VALUES, cluster_name, named, pod_specs, render, rights

VALID = re.compile(r"[a-z0-9]+([-.][a-z0-9]+)*")
FOLLOW = {"list", "watch"}
WHERE_QUEUEWORKERS_LIVE = {
    "queueworkers.queueworker.dev": FOLLOW,
    "queueworkers/status.queueworker.dev": {"patch"},
    "deployments.apps": FOLLOW,
    "deployments/scale.apps": {"get", "patch"},
    "pods": FOLLOW | {"patch"},
    "events": {"create"},
    "secrets": {"get"},
}


def roles(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [body for body in objects if body["kind"] in {"Role", "ClusterRole"}]


def test_the_rights_are_these_and_end_at_the_namespace() -> None:
    objects = render("--set", "rbac.aggregateRoles=false")

    assert {role["kind"] for role in roles(objects)} == {"Role"}
    assert {role["metadata"]["namespace"] for role in roles(objects)} == {"mail"}
    assert rights(named(objects, "Role", "queueworker")) == WHERE_QUEUEWORKERS_LIVE
    assert rights(named(objects, "Role", "queueworker-leader")) == {
        "leases.coordination.k8s.io": {"create"},
        "leases.coordination.k8s.io:queueworker-operator": {"get", "update"},
    }


def test_every_watched_namespace_gets_the_same_role_bound_to_the_account() -> None:
    objects = render("--set", "watchNamespaces={a,b}")
    watched = {
        role["metadata"]["namespace"]: rights(role)
        for role in roles(objects)
        if role["metadata"]["name"] == "queueworker"
    }
    bindings = [
        body
        for body in objects
        if body["kind"] == "RoleBinding" and body["roleRef"]["name"] == "queueworker"
    ]

    assert watched == {"a": WHERE_QUEUEWORKERS_LIVE, "b": WHERE_QUEUEWORKERS_LIVE}
    assert [body["metadata"]["namespace"] for body in bindings] == ["a", "b"]
    for body in bindings:
        assert body["subjects"] == [
            {"kind": "ServiceAccount", "name": "queueworker", "namespace": "mail"}
        ]
    assert named(objects, "Role", "queueworker-leader")["metadata"]["namespace"] == "mail"


def test_cluster_scope_is_a_choice() -> None:
    objects = render("--set", "scope=Cluster")

    assert rights(named(objects, "ClusterRole", cluster_name())) == WHERE_QUEUEWORKERS_LIVE
    assert [body["metadata"]["name"] for body in objects if body["kind"] == "Role"] == [
        "queueworker-leader"
    ]


def names_in_no_namespace(namespace: str, name: str) -> list[str]:
    options = ("scope=Cluster", "admissionPolicy.enabled=true", f"fullnameOverride={name}")
    settings = [word for option in options for word in ("--set", option)]
    return [
        body["metadata"]["name"]
        for body in render("--namespace", namespace, *settings)
        if "namespace" not in body["metadata"] and body["kind"] != "CustomResourceDefinition"
    ]


def test_no_two_releases_have_an_object_of_one_name_in_no_namespace() -> None:
    one = names_in_no_namespace("team", "a-queueworker")
    other = names_in_no_namespace("team-a", "queueworker")

    assert len(one) == len(other) == 6
    assert set(one).isdisjoint(other)


@pytest.mark.parametrize(("namespace", "name"), [("n" * 63, "m" * 40), ("n" * 48, "a.b")])
def test_a_name_in_no_namespace_is_valid_however_long_the_parts(namespace: str, name: str) -> None:
    found = names_in_no_namespace(namespace, name)

    assert [one for one in found if len(one) > 63 or not VALID.fullmatch(one)] == []
    assert len(set(found)) == 3


@pytest.mark.parametrize("scope", ["Namespaced", "Cluster"])
def test_named_secrets_are_the_only_ones(scope: str) -> None:
    objects = render("--set", f"scope={scope}", "--set", "secretNames={mail-db,reports-db}")
    granted = {key: verbs for role in roles(objects) for key, verbs in rights(role).items()}

    assert {key: verbs for key, verbs in granted.items() if key.startswith("secrets")} == {
        "secrets:mail-db": {"get"},
        "secrets:reports-db": {"get"},
        "secrets:queueworker-test-db": {"get"},  # while `helm test` runs
    }


def test_patching_pods_can_be_taken_away() -> None:
    role = named(render("--set", "rbac.podDeletionCost=false"), "Role", "queueworker")

    assert rights(role) == {**WHERE_QUEUEWORKERS_LIVE, "pods": FOLLOW}


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_no_values_let_it_list_secrets_or_use_wildcards(values: str) -> None:
    found = roles(render("--values", values))
    assert found
    for role in found:
        for key, verbs in rights(role).items():
            assert "*" not in key
            assert "*" not in verbs
            if key.startswith("secrets"):
                assert verbs == {"get"}


def test_people_get_queueworkers_through_the_clusters_own_roles() -> None:
    objects = render()
    view = named(objects, "ClusterRole", f"{cluster_name()}-view")
    edit = named(objects, "ClusterRole", f"{cluster_name()}-edit")
    prefix = "rbac.authorization.k8s.io/aggregate-to-"

    assert view["metadata"]["labels"][f"{prefix}view"] == "true"
    assert rights(view) == {
        "queueworkers.queueworker.dev": {"get"} | FOLLOW,
        "queueworkers/status.queueworker.dev": {"get"} | FOLLOW,
    }
    assert {edit["metadata"]["labels"][f"{prefix}{role}"] for role in ("edit", "admin")} == {"true"}
    assert rights(edit) == {
        "queueworkers.queueworker.dev": {"create", "update", "patch", "delete", "deletecollection"},
        "queueworkers/scale.queueworker.dev": {"get", "update", "patch"},
    }


def test_no_role_and_no_account_are_made_when_others_make_them() -> None:
    objects = render(
        *("--set", "rbac.create=false", "--set", "rbac.aggregateRoles=false"),
        *("--set", "serviceAccount.create=false", "--set", "serviceAccount.name=mine"),
    )

    assert not {"Role", "RoleBinding", "ServiceAccount"} & {body["kind"] for body in objects}
    assert pod_specs(objects)["Deployment/queueworker"]["serviceAccountName"] == "mine"
