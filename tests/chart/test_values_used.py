"""No value is without effect, and no template reads a value that the schema does not know."""

import copy
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.chart import CHART, render_text

pytestmark = pytest.mark.helm_4_alone

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
TEMPLATES = sorted([*CHART.glob("templates/**/*.yaml"), *CHART.glob("templates/*.t*")])
# Values under which every other one has an effect: all optional parts, nothing that hides another.
BASE: dict[str, Any] = {
    "migrate": {"secretRef": {"name": "owner"}},
    "demo": {"enabled": True},
    **{
        part: {"enabled": True}
        for part in (
            "admissionPolicy",
            "dashboards",
            "networkPolicy",
            "podDisruptionBudget",
            "podMonitor",
            "prometheusRule",
            "serviceMonitor",
            "workerMonitor",
        )
    },
}
# What must be given beside a value, so that it is valid.
NEEDS: dict[str, dict[str, Any]] = {
    "rbac.create": {"demo": {"enabled": False}},
    "serviceAccount.create": {"serviceAccount": {"name": "other"}},
}
WORDS = {"digest": "sha256:" + "0" * 64, "interval": "7s", "scrapeTimeout": "7s"}
MOUNT = {"name": "other", "mountPath": "/other"}
RELABELING = {"targetLabel": "other", "replacement": "x"}
OTHER: dict[str, Any] = {
    "scope": "Cluster",
    "imagePullSecrets": [{"name": "other"}],
    "watchNamespaces": ["other"],
    "secretNames": ["other"],
    **{
        f"{part}{name}": [value]
        for part in ("", "migrate.")
        for name, value in (
            ("extraEnv", {"name": "OTHER", "value": "x"}),
            ("extraVolumes", {"name": "other", "emptyDir": {}}),
            ("extraVolumeMounts", MOUNT),
        )
    },
    **{
        f"{part}.{name}": [RELABELING]
        for part in ("serviceMonitor", "podMonitor", "workerMonitor")
        for name in ("relabelings", "metricRelabelings")
    },
    "workerMonitor.selector": {"matchLabels": {"other": "value"}},
    "networkPolicy.ingress.from": [{"podSelector": {}}],
    "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}}],
    "affinity": {"nodeAffinity": {}},
    "tolerations": [{"operator": "Exists"}],
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "podSecurityContext": {"runAsUser": 7},
    "securityContext": {"readOnlyRootFilesystem": False},
    "networkPolicy.egress": [{"ports": [{"port": 7}]}],
    "prometheusRule.disabled": ["QueueWorkerFlapping"],
    "prometheusRule.runbookUrl": "https://other.example.org",
}


def resolved(value: Mapping[str, Any]) -> dict[str, Any]:
    reference = value.get("$ref", "").rpartition("/")[2]
    return {**(SCHEMA["definitions"][reference] if reference else {}), **value}


def leaves(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the keys that hold a value, not other keys."""
    for name, raw in schema["properties"].items():
        value = resolved(raw)
        if "properties" in value:
            yield from leaves(value, f"{path}{name}.")
        elif name != "global":
            yield f"{path}{name}", value


LEAVES = dict(leaves(SCHEMA))


def default(path: str) -> Any:
    found: Any = merged(yaml.safe_load((CHART / "values.yaml").read_text()), BASE)
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def merged(under: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = copy.deepcopy(under)
    for name, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(name), dict)
        result[name] = merged(result[name], value) if both else value
    return result


def another(path: str, schema: Mapping[str, Any]) -> Any:
    """Give a valid value that is not the default one."""
    now = default(path)
    if path in OTHER:
        return OTHER[path]
    if "enum" in schema:
        return next(value for value in schema["enum"] if value != now)
    match schema["type"]:
        case "boolean":
            return not now
        case "integer" | ["integer", "string"]:
            return now + 1
        case "object":
            return {"other": "value"} if "additionalProperties" in schema else {"memory": "7Gi"}
        case _:
            return WORDS.get(path.rpartition(".")[2], "other")


def nested(path: str, value: Any) -> dict[str, Any]:
    for part in reversed(path.split(".")):
        value = {part: value}
    return dict(value)


def rendered(values: Mapping[str, Any], folder: Path) -> str:
    """Render; the random passwords of two renderings are the same text."""
    file = folder / "values.json"
    file.write_text(json.dumps(values))
    text = render_text("--values", file)
    return re.sub(r"(?<=://)(\w+):\w+@|password: \w{24}", r"\1", text)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return rendered(BASE, tmp_path_factory.mktemp("base"))


@pytest.mark.parametrize("path", LEAVES)
def test_every_value_changes_what_is_rendered(path: str, base: str, tmp_path: Path) -> None:
    value = another(path, LEAVES[path])
    assert value != default(path)
    before = merged(BASE, NEEDS[path]) if path in NEEDS else BASE
    unchanged = rendered(before, tmp_path) if path in NEEDS else base

    assert rendered(merged(before, nested(path, value)), tmp_path) != unchanged


def test_the_same_values_are_rendered_alike(base: str, tmp_path: Path) -> None:
    assert rendered(BASE, tmp_path) == base


def test_the_templates_read_no_value_that_the_schema_lacks() -> None:
    known = {part for path in LEAVES for part in prefixes(path)}
    read = {
        match
        for path in TEMPLATES
        for match in re.findall(r"\.Values\.([A-Za-z]+(?:\.[A-Za-z]+)*)", path.read_text())
    }

    assert len(read) > 50
    assert sorted(read - known) == []


def prefixes(path: str) -> set[str]:
    parts = path.split(".")
    return {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
