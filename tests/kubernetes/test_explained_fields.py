"""`kubectl explain` tells every field: what it means, its unit, an example, its bounds."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import yaml
from tests.support.chart import DEFINITION
from tests.support.controlplane import ApiServer
from tests.support.waiting import wait_until

VERSION = yaml.safe_load(DEFINITION.read_text())["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]["properties"]
SERVED = "/openapi/v3/apis/queueworker.dev/v1alpha1"
# One of these words says what a number counts or is measured in.
UNIT = re.compile(r"\b(pods|jobs|seconds|percent|generation)\b", re.IGNORECASE)
ROW = re.compile(r"^( +)(\w+)\t<")


def fields(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from fields(field, f"{path}.{name}")
    if "items" in schema:
        yield from fields(schema["items"], f"{path}[]")


FIELDS = [*fields(SCHEMA["spec"], "spec"), *fields(SCHEMA["status"], "status")]


@pytest.mark.parametrize(("path", "field"), FIELDS, ids=[path for path, _ in FIELDS])
def test_every_field_is_described_with_an_example_a_unit_and_bounds(
    path: str, field: Mapping[str, Any]
) -> None:
    said = field["description"]
    assert "Example: " in said, path
    match field["type"]:
        case "string":
            assert {"maxLength", "enum", "format"} & field.keys(), path
            if "duration(" in str(field.get("x-kubernetes-validations")):
                assert "A duration in h, m and s from" in said, path
        case "integer" | "number":
            assert "minimum" in field, path
            assert "maximum" in field or path.startswith("status"), path
            assert UNIT.search(said.partition("Example: ")[0]), path
        case "array":
            assert "maxItems" in field, path
        case _:
            pass  # objects and booleans have no bounds


def explained(text: str) -> set[str]:
    """Give the paths that `kubectl explain --recursive` lists: two spaces more a level."""
    paths, above = set(), dict[int, str]()
    for line in text.partition("FIELDS:")[2].splitlines():
        if row := ROW.match(line):
            depth = len(row[1]) // 2
            above[depth] = row[2]
            paths.add(".".join(above[level] for level in range(1, depth + 1)))
    return paths


@pytest.fixture
def explain(crd: ApiServer) -> Callable[..., str]:
    """Give `kubectl explain`. A kind is explained some moments after it is served."""

    def explained(*words: str) -> str:
        try:
            return crd.kubectl("explain", *words)
        except subprocess.CalledProcessError:
            return ""

    wait_until(lambda: explained("queueworkers"), within_s=30, what="the kind is explained")
    return explained


def test_kubectl_explain_lists_every_field_and_no_other(explain: Callable[..., str]) -> None:
    listed = explained(explain("queueworkers", "--recursive"))

    # An entry of a list is explained as the list.
    known = {path.replace("[]", "") for path, _ in FIELDS}
    assert {path for path in listed if path.startswith(("spec", "status"))} == known
    assert len(known) > 50


def test_the_api_server_serves_every_description_as_it_is_written(
    crd: ApiServer, explain: Callable[..., str]
) -> None:
    assert explain("queueworkers")
    schemas = json.loads(crd.kubectl("get", "--raw", SERVED))["components"]["schemas"]
    served = schemas["dev.queueworker.v1alpha1.QueueWorker"]["properties"]
    said = {
        path: field.get("description")
        for top in ("spec", "status")
        for path, field in fields(served[top], top)
    }

    assert said == {path: field["description"] for path, field in FIELDS}


def test_kubectl_explains_the_promise(explain: Callable[..., str]) -> None:
    text = explain("queueworker.spec.startWithin")

    assert "The promise: how long after a job became ready" in text
    assert "Example: 30s, 5m or 1h30m." in " ".join(text.split())
