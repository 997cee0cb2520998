"""What each command of `kubectl queueworker` does."""

import argparse
import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console

from queueworker_operator.cli import compare, explain
from queueworker_operator.cli.output import print_document
from queueworker_operator.errors import InvalidResource, LagUnavailable, OperatorError
from queueworker_operator.kube import Client, api
from queueworker_operator.lag.postgres import PostgresLag
from queueworker_operator.plugin.access import Access, bodies_of, dsn_of, find, plain, reachable
from queueworker_operator.plugin.summary import summary
from queueworker_operator.plugin.tree import Branch, branch_of, tree_of
from queueworker_operator.resource import parse

Tell = Callable[[argparse.Namespace, str, str], int]


def get(arguments: argparse.Namespace) -> int:
    """Print QueueWorkers with all that belongs to them."""
    access = Access.of(arguments)
    names = [plain(name) for name in arguments.name]
    branches = asyncio.run(_branches(access, names, everywhere=arguments.all_namespaces))
    if arguments.output != "table":
        print_document([asdict(branch) for branch in branches], arguments.output)
        return 0
    if not branches:
        place = "the cluster" if arguments.all_namespaces else f"namespace {access.namespace}"
        print(f"No QueueWorker in {place}.")
        return 0
    console = Console(markup=False, highlight=False)
    for branch in branches:
        console.print(tree_of(branch))
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Print how a QueueWorker does."""
    body = asyncio.run(_body(Access.of(arguments), plain(arguments.name)))
    if arguments.output == "table":
        print("\n".join(summary(body, time.time())))
    else:
        print_document(body.get("status") or {}, arguments.output)
    return 0


def why(arguments: argparse.Namespace) -> int:
    """Print the decisions of a QueueWorker."""
    return _with_database(arguments, explain.tell)


def compared(arguments: argparse.Namespace) -> int:
    """Print the comparison of a DryRun."""
    return _with_database(arguments, compare.tell)


def _with_database(arguments: argparse.Namespace, tell: Tell) -> int:
    access, name = Access.of(arguments), plain(arguments.name)
    dsn = asyncio.run(_dsn(access, name))
    try:
        return tell(arguments, dsn, f"{access.namespace}/{name}")
    except LagUnavailable as exc:
        raise reachable(exc, access) from exc


async def _body(access: Access, name: str) -> dict[str, Any]:
    async with Client(access.credentials) as client:
        return await find(client, access.namespace, name)


async def _dsn(access: Access, name: str) -> str:
    async with Client(access.credentials) as client:
        body = await find(client, access.namespace, name)
        return await dsn_of(client, access, body)


async def _branches(access: Access, names: Sequence[str], *, everywhere: bool) -> list[Branch]:
    async with Client(access.credentials) as client:
        bodies = await bodies_of(client, access, names, everywhere=everywhere)
        return [await _branch(client, access, body) for body in bodies]


async def _branch(client: Client, access: Access, body: Mapping[str, Any]) -> Branch:
    namespace = body["metadata"]["namespace"]
    target = body["spec"]["scaleTargetRef"]["name"]
    try:
        deployment = await api.get_object(client, api.Watched.DEPLOYMENTS, namespace, target)
        pods = [one async for one in api.list_objects(client, api.Watched.PODS, namespace)]
    except OperatorError as exc:
        return branch_of(body, time.time(), trouble=str(exc))
    try:
        source = PostgresLag(await dsn_of(client, access, body))
        try:
            workers = await source.workers(parse(body).queues)
        finally:
            await source.close()
    except (LagUnavailable, OperatorError, InvalidResource) as exc:
        trouble = f"what its workers hold is not known: {reachable(exc, access)}"
        return branch_of(body, time.time(), deployment=deployment, pods=pods, trouble=trouble)
    return branch_of(body, time.time(), deployment=deployment, pods=pods, workers=workers)
