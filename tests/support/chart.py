"""The chart as helm renders it: objects, not text."""

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml
from tests.support.helm import HelmRelease, run_helm

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "queueworker"
DEFINITION = ROOT / "crds" / "queueworkers.queueworker.dev.yaml"
CI_VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
KUBERNETES_VERSION = "1.36.4"
# The passwords of the throw-away databases: in three connection strings, and the owner's alone.
RANDOM = re.compile(
    r"(?<=://)(postgres|worker|operator):\w+(?=@)|(?<=  password: )\w{24}$", re.MULTILINE
)

Body = dict[str, Any]


class StrictLoader(yaml.SafeLoader):
    """Refuses a key that is written twice, as kustomize does."""


def _mapping_once(loader: StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    if twice := sorted({str(key) for key in keys if keys.count(key) > 1}):
        raise yaml.constructor.ConstructorError(
            None, None, f"{', '.join(twice)} written twice", node.start_mark
        )
    return loader.construct_mapping(node, deep=True)


StrictLoader.add_constructor("tag:yaml.org,2002:map", _mapping_once)


class HelmFailed(Exception):
    """Helm refused; the message is what it printed on stderr."""


def render_text(
    *arguments: str | Path, chart: Path = CHART, release: HelmRelease | None = None
) -> str:
    """Give what `helm template` prints for release `queueworker` in namespace `mail`.

    Raises:
        HelmFailed: helm refused the values or the chart.
    """
    done = run_helm(
        *("template", "queueworker", chart, "--namespace", "mail"),
        *("--kube-version", KUBERNETES_VERSION),
        *arguments,
        release=release,
    )
    if done.returncode:
        raise HelmFailed(done.stderr)
    return done.stdout


def render(
    *arguments: str | Path, chart: Path = CHART, release: HelmRelease | None = None
) -> list[Body]:
    """Give the rendered objects, without the random passwords; see `render_text` and `StrictLoader`."""
    text = RANDOM.sub("random", render_text(*arguments, chart=chart, release=release))
    return [body for body in yaml.load_all(text, StrictLoader) if body]


def named(objects: Iterable[Body], kind: str, name: str | None = None) -> Body:
    """Give the one object of `kind` (and `name`)."""
    found = [
        body
        for body in objects
        if body["kind"] == kind and name in (None, body["metadata"]["name"])
    ]
    if len(found) != 1:
        raise LookupError(f"{len(found)} objects of kind {kind}, name {name}")
    return found[0]


def cluster_name(namespace: str = "mail", name: str = "queueworker") -> str:
    """Give the name of what a release has in no namespace."""
    return f"{namespace}-{name}-{sha256(f'{namespace}/{name}'.encode()).hexdigest()[:8]}"


def rights(role: Mapping[str, Any]) -> dict[str, set[str]]:
    """Give a role's verbs by `resource.group`, with `:name` for each resource name."""
    granted: dict[str, set[str]] = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                full = f"{resource}.{group}".rstrip(".")
                for name in rule.get("resourceNames", [""]):
                    key = f"{full}:{name}".rstrip(":")
                    granted.setdefault(key, set()).update(rule["verbs"])
    return granted


def pod_specs(objects: Iterable[Body]) -> dict[str, Body]:
    """Give the pod specs of all Pods, Deployments and Jobs by `kind/name`."""
    return {
        f"{body['kind']}/{body['metadata']['name']}": (
            body["spec"] if body["kind"] == "Pod" else body["spec"]["template"]["spec"]
        )
        for body in objects
        if body["kind"] in {"Pod", "Deployment", "Job"}
    }
