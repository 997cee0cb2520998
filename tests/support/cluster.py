"""A cluster with real pods, through kubectl alone: the local one, kind, or any other."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.tools import tool_path

Resource = dict[str, Any]


class CommandFailed(Exception):
    """A command failed; the message holds what it printed to stderr."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One namespace of a cluster, and the kubeconfig that opens it."""

    kubeconfig: Path
    namespace: str

    @classmethod
    def from_env(cls, namespace: str) -> "Cluster":
        """Take the cluster of KUBECONFIG."""
        path = os.environ.get("KUBECONFIG")
        if not path:
            raise CommandFailed("KUBECONFIG is not set: run these tests by `make e2e`")
        return cls(kubeconfig=Path(path), namespace=namespace)

    @property
    def flags(self) -> tuple[str, str]:
        """Give the flags by which kubectl and helm find this namespace."""
        return (f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}")

    def kubectl(
        self, *arguments: str | Path, stdin: str | None = None, within_s: float = 60
    ) -> str:
        """Run kubectl and give what it prints.

        Raises:
            CommandFailed: it ended with another code than 0.
        """
        return run(tool_path("kubectl"), *self.flags, *arguments, stdin=stdin, within_s=within_s)

    def apply(self, *resources: Resource) -> None:
        """Create or change resources."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(resources)}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(listed))

    def get(self, kind: str, name: str) -> Resource:
        """Read one resource."""
        found: Resource = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found

    def find(self, kind: str, *, selector: str = "", fields: str = "") -> list[Resource]:
        """Read all resources of a kind that match."""
        filters = [f"--selector={selector}", f"--field-selector={fields}"]
        listed = json.loads(self.kubectl("get", kind, *filters, "-o", "json"))
        items: list[Resource] = listed["items"]
        return items

    def delete(self, *resources: Resource) -> None:
        """Delete resources, the last first, and what they own; wait until all are gone."""
        listed = {"apiVersion": "v1", "kind": "List", "items": resources[::-1]}
        options = ["--ignore-not-found", "--cascade=foreground", "--wait"]
        self.kubectl("delete", "-f", "-", *options, stdin=json.dumps(listed), within_s=120)


@contextlib.contextmanager
def restricted_namespace(name: str) -> Iterator[Cluster]:
    """Make a namespace that admits restricted pods alone; it goes at the end."""
    cluster = Cluster.from_env(name)
    cluster.kubectl("create", "namespace", name)
    level = "pod-security.kubernetes.io/enforce=restricted"
    cluster.kubectl("label", "namespace", name, level)
    try:
        yield cluster
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


def names(resources: list[Resource]) -> list[str]:
    """Give kind and name of those that are not ending."""
    return [
        f"{resource['kind']}/{resource['metadata']['name']}"
        for resource in resources
        if "deletionTimestamp" not in resource["metadata"]
    ]


def run(*command: str | Path, stdin: str | None = None, within_s: float = 60) -> str:
    """Run a command and give what it prints.

    Raises:
        CommandFailed: it ended with another code than 0.
    """
    ended = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=within_s, check=False
    )
    if ended.returncode:
        called = " ".join(str(part) for part in command)
        raise CommandFailed(f"{called}: exit code {ended.returncode}: {ended.stderr.strip()}")
    return ended.stdout
