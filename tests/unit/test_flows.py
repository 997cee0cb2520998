"""The evaluation of NetworkPolicies knows the rules of the API's documentation."""

from typing import Any

import pytest
from tests.support.flows import End, Flow, matches, passes

WEB = End(namespace="shop", labels={"app": "web"}, ports={"http": 8080}, address="10.0.0.5")
API = End(namespace="shop", labels={"app": "api"}, address="10.0.0.6")
FAR = End(namespace="far", labels={"app": "api"}, address="10.0.1.6")
OUTSIDE = End(address="203.0.113.7")
TO_WEB = {"podSelector": {"matchLabels": {"app": "web"}}}
EVERY_POD: dict[str, Any] = {"podSelector": {}}


def policy(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "shop"}, "spec": spec}


def reached(target: End, port: int, *policies: dict[str, Any], source: End = API) -> bool:
    return passes(Flow(source=source, target=target, port=port), policies)


def test_a_selected_pod_is_closed_but_for_the_rules_and_others_are_open() -> None:
    closed = policy(**TO_WEB, policyTypes=["Ingress"])

    assert not reached(WEB, 80, closed)
    assert reached(API, 80, closed, source=WEB)
    assert reached(WEB, 80)
    assert reached(WEB, 80, closed, policy(**TO_WEB, ingress=[{}]))


@pytest.mark.parametrize(
    ("peer", "sources"),
    [
        ({"podSelector": {"matchLabels": {"app": "api"}}}, [API]),
        ({"namespaceSelector": {}}, [API, FAR]),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "far"}}}, [FAR]),
        ({"ipBlock": {"cidr": "10.0.0.0/16", "except": ["10.0.1.0/24"]}}, [API]),
        ({"ipBlock": {"cidr": "0.0.0.0/0"}}, [API, FAR, OUTSIDE]),
    ],
)
def test_a_peer_is_who_it_says(peer: dict[str, Any], sources: list[End]) -> None:
    rules = policy(**TO_WEB, ingress=[{"from": [peer]}])

    assert [s for s in (API, FAR, OUTSIDE) if reached(WEB, 80, rules, source=s)] == sources


@pytest.mark.parametrize(
    ("port", "numbers"),
    [
        ({"port": 80}, [80]),
        ({"port": "http"}, [8080]),
        ({"port": 80, "endPort": 90}, [80, 85]),
        ({"port": 80, "protocol": "UDP"}, []),
        ({}, [80, 85, 8080]),
    ],
)
def test_a_port_is_a_number_a_name_or_a_range(port: dict[str, Any], numbers: list[int]) -> None:
    rules = policy(**TO_WEB, ingress=[{"ports": [port]}])

    assert [n for n in (80, 85, 8080) if reached(WEB, n, rules)] == numbers


def test_both_ends_must_let_it_through() -> None:
    no_way_out = policy(**EVERY_POD, policyTypes=["Egress"])
    out_to_web = policy(**EVERY_POD, egress=[{"to": [TO_WEB]}], policyTypes=["Egress"])

    assert not reached(WEB, 80, no_way_out)
    assert reached(WEB, 80, no_way_out, out_to_web)
    assert not reached(WEB, 80, out_to_web, policy(**TO_WEB))
    assert not reached(OUTSIDE, 80, out_to_web)


def test_expressions_select_labels() -> None:
    def selected(operator: str, key: str = "app") -> list[bool]:
        rule = {"key": key, "operator": operator, "values": ["web"]}
        return [matches({"matchExpressions": [rule]}, end.labels) for end in (WEB, API)]

    assert selected("In") == [True, False]
    assert selected("NotIn") == [False, True]
    assert selected("Exists", "app") == [True, True]
    assert selected("DoesNotExist", "app") == [False, False]
    with pytest.raises(ValueError, match="Near"):
        selected("Near")
