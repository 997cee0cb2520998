"""`kubectl queueworker simulate`: a trace against the promise and bounds of a live QueueWorker."""

import argparse
import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from queueworker_operator.cli import simulate
from queueworker_operator.errors import ObjectMissing
from queueworker_operator.kube import api
from queueworker_operator.plugin.access import Access, find, plain
from queueworker_operator.plugin.command import Commands, Help, add_command
from queueworker_operator.resource import GROUP, KIND, VERSION


def add_to(several: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        several,
        "simulate",
        run,
        Help(
            purpose="replay a trace against its promise and bounds, beside other policies",
            about=(
                "Simulate each job of a trace with the QueueWorker's own spec and its Deployment's slots and "
                "grace. The formats of traces: queueworker-operator simulate --help"
            ),
            examples=("simulate mail --trace arrivals.csv --policy dbc",),
        ),
        output=False,
    )
    parser.add_argument("name", metavar="NAME")
    simulate.add_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Read the resource and its Deployment, and simulate with them as a manifest."""
    documents = asyncio.run(_manifest(Access.of(arguments), plain(arguments.name)))
    with tempfile.TemporaryDirectory() as folder:
        arguments.manifest = Path(folder) / "queueworker.yaml"
        arguments.manifest.write_text(yaml.safe_dump_all(documents))
        return simulate.run(arguments)


async def _manifest(access: Access, name: str) -> list[Mapping[str, Any]]:
    async with access.client() as client:
        body = await find(client, access.namespace, name)
        target = body["spec"]["scaleTargetRef"]["name"]
        documents = [as_manifest(body, f"{GROUP}/{VERSION}", KIND)]
        try:
            found = await api.get_object(client, api.Watched.DEPLOYMENTS, access.namespace, target)
        except ObjectMissing:
            return documents
    return [*documents, as_manifest(found, "apps/v1", "Deployment")]


def as_manifest(body: Mapping[str, Any], version: str, kind: str) -> Mapping[str, Any]:
    """Give what somebody would have written in a file."""
    meta = {key: body["metadata"][key] for key in ("name", "namespace")}
    return {"apiVersion": version, "kind": kind, "metadata": meta, "spec": body["spec"]}
