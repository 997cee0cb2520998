"""Which connections the chart's NetworkPolicies let through, by an evaluation of their rules."""

from typing import Any

import pytest
from tests.support.chart import CHART, named, render
from tests.support.flows import End, Flow, passes

OUTSIDE = End(address="203.0.113.7")
PROMETHEUS = End(namespace="monitoring", labels={"app": "prometheus"})
STRANGER = End(namespace="mail", labels={"app": "shop"})
DNS = End(namespace="kube-system", labels={"k8s-app": "kube-dns"})
API_SERVER = End(address="192.0.2.1")


def pod(objects: list[dict[str, Any]], name: str) -> End:
    """Give a Deployment's pods as an end."""
    body = named(objects, "Deployment", name)
    template = body["spec"]["template"]
    ports = {p["name"]: p["containerPort"] for p in template["spec"]["containers"][0]["ports"]}
    labels = template["metadata"]["labels"]
    return End(namespace=body["metadata"]["namespace"], labels=labels, ports=ports)


def policies(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [body for body in objects if body["kind"] == "NetworkPolicy"]


@pytest.fixture
def objects() -> list[dict[str, Any]]:
    """Render the operator with all egress rules of the full values, and the demo."""
    return render("--values", CHART / "ci/everything-values.yaml", "--set", "demo.enabled=true")


@pytest.mark.parametrize("source", [PROMETHEUS, STRANGER, OUTSIDE], ids=["else", "same", "outside"])
def test_the_operator_is_reached_at_its_port_and_at_no_other(
    objects: list[dict[str, Any]], source: End
) -> None:
    operator = pod(objects, "queueworker")

    assert passes(Flow(source=source, target=operator, port=8080), policies(objects))
    for port, protocol in ((22, "TCP"), (5432, "TCP"), (8081, "TCP"), (8080, "UDP")):
        flow = Flow(source=source, target=operator, port=port, protocol=protocol)
        assert not passes(flow, policies(objects)), flow


def test_the_operator_is_reached_by_those_alone_whom_the_values_name() -> None:
    monitoring = (
        '[{"podSelector": {"matchLabels": {"app": "prometheus"}}, "namespaceSelector": {}}]'
    )
    given = ("--set-json", f"networkPolicy.ingress.from={monitoring}")
    objects = render("--set", "networkPolicy.enabled=true", *given)
    operator = pod(objects, "queueworker")

    admitted = [
        passes(Flow(source=source, target=operator, port=8080), policies(objects))
        for source in (PROMETHEUS, STRANGER, OUTSIDE)
    ]

    assert admitted == [True, False, False]
    assert not passes(Flow(source=PROMETHEUS, target=operator, port=22), policies(objects))


@pytest.mark.parametrize("watched", ["mail", "reports"])
def test_helm_test_reaches_the_operator_whomever_the_values_name(watched: str) -> None:
    objects = render(
        *("--set", "networkPolicy.enabled=true", "--set", f"watchNamespaces={{{watched}}}"),
        *(
            "--set-json",
            'networkPolicy.ingress.from=[{"podSelector": {"matchLabels": {"a": "b"}}}]',
        ),
    )
    meta = named(objects, "Pod", "queueworker-test")["metadata"]
    operator = pod(objects, "queueworker")
    admitted = {
        namespace: passes(
            Flow(
                source=End(namespace=namespace, labels=meta["labels"]), target=operator, port=8080
            ),
            policies(objects),
        )
        for namespace in ("mail", "reports", "elsewhere")
    }

    assert meta["namespace"] == watched
    assert admitted == dict.fromkeys(admitted, False) | {watched: True}
    assert not passes(Flow(source=STRANGER, target=operator, port=8080), policies(objects))


def test_the_operator_reaches_what_the_egress_rules_name_and_nothing_else(
    objects: list[dict[str, Any]],
) -> None:
    operator = pod(objects, "queueworker")
    open_flows = [
        Flow(source=operator, target=DNS, port=53, protocol="UDP"),
        Flow(source=operator, target=API_SERVER, port=6443),
        Flow(source=operator, target=OUTSIDE, port=5432),
    ]
    closed = [
        Flow(source=operator, target=OUTSIDE, port=25),
        Flow(source=operator, target=OUTSIDE, port=80),
        Flow(source=operator, target=DNS, port=53),
    ]

    assert [flow for flow in open_flows if not passes(flow, policies(objects))] == []
    assert [flow for flow in closed if passes(flow, policies(objects))] == []


def test_without_egress_rules_the_operator_reaches_all() -> None:
    objects = render("--set", "networkPolicy.enabled=true")
    flow = Flow(source=pod(objects, "queueworker"), target=OUTSIDE, port=25)

    assert passes(flow, policies(objects))


def test_other_pods_of_the_namespace_are_left_alone(objects: list[dict[str, Any]]) -> None:
    for target in (OUTSIDE, PROMETHEUS):
        assert passes(Flow(source=STRANGER, target=target, port=25), policies(objects))
        assert passes(Flow(source=target, target=STRANGER, port=9999), policies(objects))


def test_the_demos_database_is_reached_by_the_pods_of_its_release_alone() -> None:
    objects = render("--values", CHART / "ci/demo-values.yaml")
    server = pod(objects, "queueworker-demo-postgres")
    inside = [pod(objects, name) for name in ("queueworker", "queueworker-demo")]
    foreign = End(namespace="elsewhere", labels=inside[1].labels)

    for source in inside:
        assert passes(Flow(source=source, target=server, port=5432), policies(objects))
    for source in (STRANGER, PROMETHEUS, OUTSIDE, foreign):
        assert not passes(Flow(source=source, target=server, port=5432), policies(objects))


def test_no_policy_is_made_unless_asked() -> None:
    objects = render("--set", "demo.enabled=true")

    assert policies(objects) == []
    flow = Flow(source=OUTSIDE, target=pod(objects, "queueworker"), port=22)
    assert passes(flow, policies(objects))
