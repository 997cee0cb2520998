"""Wrong values are refused before anything is sent, with the key and what is wrong with it."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import pytest
import yaml
from tests.support.chart import CHART, CI_VALUES, ROOT, HelmFailed, render

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
FREE_FORM = {"workerMonitor.selector", "affinity", "podSecurityContext", "securityContext"}
LEFT_OUT = "'left out: the chart sets this label, and its selectors choose by it'"

REFUSED = [
    ("bogus=1", "additional properties 'bogus' not allowed"),
    ("image.name=x", "at '/image': additional properties 'name' not allowed"),
    ("image.tag=4", "at '/image/tag': got number, want string"),
    ("image.digest=latest", "at '/image/digest': 'latest' does not match pattern"),
    ("image.repository=", "at '/image/repository': minLength"),
    ("image.pullPolicy=Sometimes", "at '/image/pullPolicy': value must be one of 'Always'"),
    ("replicas=-1", "at '/replicas': minimum: got -1, want 0"),
    ("replicas=9", "at '/replicas': maximum: got 9, want 5"),
    ("scope=Namespace", "at '/scope': value must be one of 'Namespaced', 'Cluster'"),
    ("watchNamespaces={Mail}", "at '/watchNamespaces/0': 'Mail' does not match pattern"),
    ("secretNames=mail-db", "at '/secretNames': got string, want array"),
    ("crds.install=yes", "at '/crds/install': got string, want boolean"),
    ("crds.keep=false", "at '/crds': additional properties 'keep' not allowed"),
    ("migrate.secretRef=owner", "at '/migrate/secretRef': got string, want object"),
    ("migrate.secretRef.key=a/b", "at '/migrate/secretRef/key': 'a/b' does not match pattern"),
    ("extraEnv[0].value=x", "at '/extraEnv/0': missing property 'name'"),
    ("extraObjects[0].kind=Secret", "at '/extraObjects/0': missing property 'apiVersion'"),
    ("resources.cpu=1", "at '/resources': additional properties 'cpu' not allowed"),
    ("extraVolumes[0].name=tmp", "at '/extraVolumes/0/name': 'not' failed"),
    ("extraVolumeMounts[0].name=ca", "at '/extraVolumeMounts/0': missing property 'mountPath'"),
    ("migrate.extraEnv[0].value=x", "at '/migrate/extraEnv/0': missing property 'name'"),
    ("strategy.type=Rolling", "at '/strategy/type': value must be one of 'RollingUpdate'"),
    ("serviceMonitor.scrapeTimeout=long", "at '/serviceMonitor/scrapeTimeout': 'long' does not"),
    ("serviceMonitor.interval=often", "at '/serviceMonitor/interval': 'often' does not match"),
    ("podLabels.tier=1", "at '/podLabels/tier': got number, want string"),
    *(
        (
            rf"{labels}.app\.kubernetes\.io/{key}=queues",
            f"at '/{labels.replace('.', '/')}/app.kubernetes.io~1{key}': value must be {LEFT_OUT}",
        )
        for labels, key in (
            ("podLabels", "name"),
            ("podLabels", "instance"),
            ("podLabels", "component"),
            ("commonLabels", "name"),
            ("serviceMonitor.labels", "name"),
            ("podMonitor.labels", "instance"),
            ("workerMonitor.labels", "component"),
            ("prometheusRule.labels", "name"),
            ("dashboards.labels", "name"),
        )
    ),
]


@pytest.mark.parametrize(("setting", "message"), REFUSED, ids=[setting for setting, _ in REFUSED])
def test_a_wrong_value_is_refused_by_name(setting: str, message: str) -> None:
    with pytest.raises(HelmFailed) as refused:
        render("--set", setting)

    assert message in str(refused.value)


def test_values_that_contradict_each_other_are_refused_with_the_remedy() -> None:
    with pytest.raises(HelmFailed, match="empty it, or set scope to Namespaced"):
        render("--set", "scope=Cluster", "--set", "watchNamespaces={mail}")
    with pytest.raises(HelmFailed, match=r"serviceAccount\.name is needed"):
        render("--set", "serviceAccount.create=false")


def test_a_parent_charts_global_values_are_allowed() -> None:
    assert render("--set", "global.registry=x") == render()


def test_the_default_and_ci_values_fit_the_schema() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(VALUES, SCHEMA)
    assert len(CI_VALUES) >= 3
    for path in CI_VALUES:
        jsonschema.validate({**VALUES, **yaml.safe_load(path.read_text())}, SCHEMA)


def resolved(value: Mapping[str, Any]) -> dict[str, Any]:
    reference = value.get("$ref", "").rpartition("/")[2]
    return {**(SCHEMA["definitions"][reference] if reference else {}), **value}


def keys(
    schema: Mapping[str, Any], values: object, path: str = ""
) -> Iterator[tuple[str, Mapping[str, Any], object]]:
    for name, raw in schema.get("properties", {}).items():
        value = resolved(raw)
        inner = values.get(name) if isinstance(values, Mapping) else None
        yield f"{path}{name}", value, inner
        yield from keys(value, inner, f"{path}{name}.")


def test_every_key_is_typed_and_described() -> None:
    found = list(keys(SCHEMA, VALUES))
    assert len(found) > 50
    for path, value, _ in found:
        assert "type" in value, path
        assert value.get("description", "").endswith("."), path


def test_no_object_takes_unknown_keys_unless_kubernetes_defines_them() -> None:
    for path, value, _ in keys(SCHEMA, VALUES):
        if value["type"] == "object" and path not in FREE_FORM | {"global"}:
            free = path.endswith((".requests", ".limits", ".valueFrom"))
            assert free or "additionalProperties" in value, path


def test_the_schema_and_the_default_values_name_the_same_keys() -> None:
    def leaves(values: Mapping[str, Any], path: str = "") -> Iterator[str]:
        for name, value in values.items():
            yield f"{path}{name}"
            if isinstance(value, Mapping) and f"{path}{name}" not in FREE_FORM:
                yield from leaves(value, f"{path}{name}.")

    described = {path for path, _, _ in keys(SCHEMA, VALUES)} - {"global"}
    given = {path for path in leaves(VALUES) if ".requests." not in path and ".limits." not in path}

    assert given == described


def test_the_reference_pages_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "hack/docs_reference.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
