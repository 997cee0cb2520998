"""Which traffic NetworkPolicies let through, by the rules of the API's own documentation. Pure.

A pod that no policy of a direction selects is open in that direction; a selected one lets through what
any rule of any such policy names. Traffic passes when its sender's egress and its receiver's ingress do.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Policy = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """One end of a flow: a pod, or (without a namespace) an address outside the cluster."""

    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A connection that one end opens to a port of the other."""

    source: End
    target: End
    port: int
    protocol: str = "TCP"


def passes(flow: Flow, policies: Iterable[Policy]) -> bool:
    """Tell whether the policies let the flow through."""
    known = list(policies)
    out = _direction(flow, known, "Egress", flow.source, flow.target)
    return out and _direction(flow, known, "Ingress", flow.target, flow.source)


def _direction(flow: Flow, policies: list[Policy], kind: str, here: End, there: End) -> bool:
    selecting = [p for p in policies if kind in _types(p["spec"]) and _is_selected(p, here)]
    peers = "to" if kind == "Egress" else "from"
    return not selecting or any(
        _is_port(flow, rule.get("ports")) and _is_peer(policy, there, rule.get(peers))
        for policy in selecting
        for rule in policy["spec"].get(kind.lower()) or ()
    )


def _types(spec: Mapping[str, Any]) -> list[str]:
    default = ["Ingress", "Egress"] if "egress" in spec else ["Ingress"]
    types: list[str] = spec.get("policyTypes", default)
    return types


def _is_selected(policy: Policy, end: End) -> bool:
    same_namespace = policy["metadata"]["namespace"] == end.namespace
    return same_namespace and matches(policy["spec"]["podSelector"], end.labels)


def _is_port(flow: Flow, ports: list[Mapping[str, Any]] | None) -> bool:
    return not ports or any(_is_one_port(flow, port) for port in ports)


def _is_one_port(flow: Flow, port: Mapping[str, Any]) -> bool:
    if port.get("protocol", "TCP") != flow.protocol:
        return False
    number = port.get("port", flow.port)
    if isinstance(number, str):
        number = flow.target.ports.get(number, -1)
    return int(number) <= flow.port <= int(port.get("endPort", number))


def _is_peer(policy: Policy, end: End, peers: list[Mapping[str, Any]] | None) -> bool:
    return not peers or any(_is_one_peer(policy, end, peer) for peer in peers)


def _is_one_peer(policy: Policy, end: End, peer: Mapping[str, Any]) -> bool:
    if "ipBlock" in peer:
        return bool(end.address) and _is_in(peer["ipBlock"], end.address)
    if not end.namespace:
        return False
    if "namespaceSelector" in peer:
        name = {"kubernetes.io/metadata.name": end.namespace}
        in_namespace = matches(peer["namespaceSelector"], name)
    else:
        in_namespace = policy["metadata"]["namespace"] == end.namespace
    return in_namespace and matches(peer.get("podSelector", {}), end.labels)


def _is_in(block: Mapping[str, Any], address: str) -> bool:
    found = ipaddress.ip_address(address)
    inside = found in ipaddress.ip_network(block["cidr"])
    return inside and not any(found in ipaddress.ip_network(n) for n in block.get("except", ()))


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Tell whether a label selector selects these labels; an empty one selects all."""
    named = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return named and all(_holds(rule, labels) for rule in selector.get("matchExpressions", ()))


def _holds(rule: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = rule["key"], rule.get("values", ())
    match rule["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case unknown:
            raise ValueError(f"operator {unknown}: not one of a label selector")
