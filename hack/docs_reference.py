#!/usr/bin/env python3
"""Write the reference pages of the resource and of the chart from their schemas.

hack/docs_reference.py            write docs/reference/{crd,chart}.md, the table in the chart's README, and its copy of crds/
hack/docs_reference.py --check    write nothing; exit 1 and name the pages that are not up to date
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
DEFINITION = ROOT / "crds" / "queueworkers.queueworker.dev.yaml"
CHART = ROOT / "charts" / "queueworker"
IN_CHART = (
    CHART / "files" / DEFINITION.name
)  # no link: tools that fetch charts from git leave links out
TABLE = re.compile(r"(<!-- values -->\n).*?(<!-- end of values -->)", re.DOTALL)
BOUNDS = (
    (("minimum", "maximum"), "{} to {}"),
    (("minItems", "maxItems"), "{} to {} entries"),
    (("maxItems",), "at most {} entries"),
    (("minimum",), "at least {}"),
    (("maxLength",), "at most {} characters"),
)

CRD_PAGE = """\
<!-- Made by hack/docs_reference.py: change crds/queueworkers.queueworker.dev.yaml instead. -->
# The QueueWorker resource
`{version}`, kind `{kind}`, namespaced; short name {short_names}. `kubectl explain queueworker.spec` says the same.

## spec
{spec}

The API server refuses a resource that breaks a rule, with these words:
{rules}

## status
{status}

## Columns of `kubectl get queueworkers`
| column | meaning |
|---|---|
{columns}

## Scaling by hand
`kubectl scale queueworker NAME --replicas 3` writes `spec.replicas`: that many pods, whatever waits. While the field is unset
the scale subresource cannot be read (the API server says that `.spec.replicas` does not exist); writing it works. To return to
automatic, remove the field:
```sh
kubectl patch queueworker NAME --type merge -p '{{"spec": {{"replicas": null}}}}'
```
"""
CHART_PAGE = """\
<!-- Made by hack/docs_reference.py: change charts/queueworker/values.schema.json instead. -->
# The chart's values
`charts/queueworker` installs the operator; [installing](../howto/install.md) tells how. A key that is not listed is refused.

{values}"""

Schema = Mapping[str, Any]


def main(arguments: list[str]) -> int:
    """Write or check the pages; give the exit code."""
    texts = pages()
    stale = [path for path, text in texts.items() if not path.exists() or path.read_text() != text]
    if "--check" in arguments:
        for path in stale:
            sys.stderr.write(f"{path.relative_to(ROOT)} is old: run hack/docs_reference.py\n")
        return 1 if stale else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[path])
    return 0


def pages() -> dict[Path, str]:
    """Give the text of every generated page and of the chart's copy of the definition."""
    readme = CHART / "README.md"
    return {
        IN_CHART: DEFINITION.read_text(),
        ROOT / "docs/reference/crd.md": crd_page(),
        ROOT / "docs/reference/chart.md": chart_page(),
        readme: TABLE.sub(lambda match: match[1] + values_table() + match[2], readme.read_text()),
    }


def crd_page() -> str:
    """Describe the resource: fields, rules, status, columns."""
    definition = yaml.safe_load(DEFINITION.read_text())
    version = definition["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]["properties"]
    return CRD_PAGE.format(
        kind=definition["spec"]["names"]["kind"],
        short_names=", ".join(f"`{name}`" for name in definition["spec"]["names"]["shortNames"]),
        version=f"{definition['spec']['group']}/{version['name']}",
        spec="\n".join(fields_table(schema["spec"], "spec")),
        rules="\n".join(f"- {message}" for message in messages(schema["spec"])),
        status="\n".join(fields_table(schema["status"], "status")),
        columns="\n".join(column_row(column) for column in version["additionalPrinterColumns"]),
    )


def fields_table(schema: Schema, path: str) -> list[str]:
    """List every field below `schema`, nested ones by their path."""
    rows = [
        f"| `{name}`{' (required)' if required else ''} | {type_of(field)} | {field['description']} |"
        for name, field, required in fields(schema, path)
    ]
    return ["| field | type, bounds, default | meaning |", "|---|---|---|", *rows]


def fields(schema: Schema, path: str) -> Iterator[tuple[str, Schema, bool]]:
    """Walk the properties in the order in which they are written."""
    for name, field in schema.get("properties", {}).items():
        here = f"{path}.{name}"
        yield here, field, name in schema.get("required", ())
        yield from fields(field, here)
        if field.get("type") == "array":
            yield from fields(field["items"], f"{here}[]")


def type_of(field: Schema) -> str:
    """Say what a field takes: type, bounds, default."""
    words = [str(field.get("format", field["type"]))]
    if "enum" in field:
        words = [" or ".join(f"`{value}`" for value in field["enum"])]
    told: set[str] = set()
    for bounds, text in BOUNDS:
        if told.isdisjoint(bounds) and all(bound in field for bound in bounds):
            words.append(text.format(*(field[bound] for bound in bounds)))
            told.update(bounds)
    if "default" in field:
        words.append(f"default `{field['default']}`")
    return ", ".join(words)


def messages(schema: Schema) -> Iterator[str]:
    """Give the messages of all rules in a schema."""
    for rule in schema.get("x-kubernetes-validations", ()):
        yield rule["message"]
    for field in schema.get("properties", {}).values():
        yield from messages(field)
    if "items" in schema:
        yield from messages(schema["items"])


def column_row(column: Schema) -> str:
    """Describe one printer column."""
    wide = " (with `-o wide`)" if column.get("priority") else ""
    return f"| {column['name'].upper()}{wide} | {column['description']} |"


def chart_page() -> str:
    """Describe every value of the chart."""
    return CHART_PAGE.format(values=values_table())


def values_table() -> str:
    """List every value with its default."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for path, value in values(schema, schema):
        shown = f"`{json.dumps(default_at(defaults, path))}`"
        rows.append(f"| `{path}` | {value_type(value)} | {shown} | {value['description']} |")
    return "\n".join(rows) + "\n"


def values(node: Schema, schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Walk the leaves of the values: keys whose own keys are not told."""
    for name, raw in node.get("properties", {}).items():
        value = resolved(raw, schema)
        here = f"{path}.{name}".lstrip(".")
        if value.get("properties") and "requests" not in value["properties"]:
            yield from values(value, schema, here)
        elif here != "global":
            yield here, value


def resolved(value: Schema, schema: Schema) -> Schema:
    """Follow a reference; the description beside it wins."""
    if "$ref" not in value:
        return value
    return {**schema["definitions"][value["$ref"].rpartition("/")[2]], **value}


def value_type(value: Schema) -> str:
    """Say what a value takes."""
    if "enum" in value:
        return " or ".join(value["enum"])
    return value["type"] if isinstance(value["type"], str) else " or ".join(value["type"])


def default_at(defaults: Any, path: str) -> Any:
    """Look a dotted path up in values.yaml."""
    for part in path.split("."):
        defaults = defaults[part]
    return defaults


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
