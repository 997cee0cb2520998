"""How the plugin reaches a cluster and, by a QueueWorker's Secret, its database."""

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from queueworker_operator.errors import (
    AccessDenied,
    AccessRefused,
    GrantMissing,
    InvalidSettings,
    LagUnavailable,
    ObjectMissing,
    OperatorError,
)
from queueworker_operator.kube import Client, Credentials, api, find_credentials
from queueworker_operator.kube.client import Call
from queueworker_operator.kube.login import log_in
from queueworker_operator.lag.foreign import close_environment, refusal_of
from queueworker_operator.resource import ResourceSpec, parse

OWN_DSN = "give --dsn with an address that this machine reaches"
READING = frozenset({"get", "list", "watch"})
PREFIXES = (
    "queueworkers/",
    "queueworker/",
    "qw/",
    "queueworkers.queueworker.dev/",
    "queueworker.queueworker.dev/",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The cluster, the namespace meant, and the DSN of the flag."""

    credentials: Credentials
    namespace: str
    dsn: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> "Access":
        """Read the flags, as kubectl reads its own."""
        environ = dict(os.environ)
        if arguments.kubeconfig:
            environ["KUBECONFIG"] = arguments.kubeconfig
        credentials = find_credentials(environ, context=arguments.context, login=log_in)
        return cls(
            credentials=credentials,
            namespace=arguments.namespace or credentials.namespace,
            dsn=arguments.dsn,
        )

    def client(self) -> Client:
        """Open a session whose refusals say which role to ask for."""
        return Client(self.credentials, remedy=ask_for)


def ask_for(call: Call) -> str:
    """Name the role that a person lacks: the chart adds QueueWorkers to those that a cluster has."""
    role = "view" if call.verb in READING else "edit"
    return f"ask who runs the cluster for the role {role} there"


def plain(name: str) -> str:
    """Take `qw/mail` for `mail`, as `kubectl get -o name` writes it."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


async def find(client: Client, namespace: str, name: str) -> dict[str, Any]:
    """Read a QueueWorker.

    Raises:
        InvalidSettings: there is none of this name; the message says where it was looked for.
    """
    try:
        return await api.get_object(client, api.Watched.QUEUE_WORKERS, namespace, name)
    except ObjectMissing as exc:
        raise InvalidSettings(
            f"there is no QueueWorker {name} in namespace {namespace}: "
            "kubectl get queueworkers -A lists them; -n names another namespace"
        ) from exc


async def bodies_of(
    client: Client, access: Access, names: Sequence[str], *, everywhere: bool = False
) -> list[dict[str, Any]]:
    """Read the QueueWorkers of these names; without names all of the namespace, or the cluster."""
    if names:
        return [await find(client, access.namespace, name) for name in names]
    place = None if everywhere else access.namespace
    return [one async for one in api.list_objects(client, api.Watched.QUEUE_WORKERS, place)]


async def dsn_of(client: Client, access: Access, body: Mapping[str, Any]) -> str:
    """Give the DSN of the flag, else of the Secret that the resource names.

    Raises:
        InvalidSettings: the Secret cannot be read, or lacks the key.
    """
    if access.dsn:
        return access.dsn
    spec: ResourceSpec = parse(body)
    name, key = spec.secret_name, spec.secret_key
    try:
        values = await api.get_secret(client, spec.namespace, name)
    except ObjectMissing as exc:
        raise InvalidSettings(f"Secret {spec.namespace}/{name} does not exist: create it") from exc
    except AccessDenied as exc:
        raise InvalidSettings(f"you may not get Secret {spec.namespace}/{name}: {OWN_DSN}") from exc
    if not values.get(key):
        raise InvalidSettings(f"Secret {spec.namespace}/{name} has no key {key}: {OWN_DSN}")
    if refusal := refusal_of(values[key]):
        raise InvalidSettings(
            f"the connection string {key} of Secret {spec.namespace}/{name} {refusal}, or {OWN_DSN}"
        )
    close_environment(os.environ)  # the Secret's author is not to be lent this user's password
    return values[key]


def reachable(error: OperatorError, access: Access) -> OperatorError:
    """Add to a database's error what is usual from outside a cluster."""
    if access.dsn or isinstance(error, AccessRefused | GrantMissing):
        return error
    return type(error)(f"{error}; the Secret's address may hold inside the cluster only: {OWN_DSN}")


@contextmanager
def reachable_errors(access: Access) -> Iterator[None]:
    """Say so for all that is asked of a database inside."""
    try:
        yield
    except LagUnavailable as exc:
        raise reachable(exc, access) from exc
