"""Read what the checks need, each thing by itself: what cannot be read is a reason, not a loss."""

import time
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any, TypeVar

from queueworker_operator.errors import (
    AccessDenied,
    AccessRefused,
    InvalidResource,
    InvalidSettings,
    LagUnavailable,
    ObjectMissing,
    OperatorError,
)
from queueworker_operator.kube import Client, api, looks
from queueworker_operator.lag.connection import describe, parameters
from queueworker_operator.lag.examine import Examiner
from queueworker_operator.lag.foreign import SYSTEM_CERTIFICATES
from queueworker_operator.lag.postgres import PostgresLag
from queueworker_operator.leader import LEASE_NAME
from queueworker_operator.plugin.access import Access, dsn_of, reachable
from queueworker_operator.plugin.doctor.facts import (
    Address,
    Body,
    Cluster,
    Facts,
    Neighbours,
    Read,
)

Value = TypeVar("Value")
LOCAL = ("", "localhost", "127.0.0.1", "::1")


async def read(call: Awaitable[Value], access: Access | None = None) -> Read[Value]:
    """Wait for one reading; a failure is kept as its reason. `access` is of the database's reads."""
    try:
        return Read(await call)
    except LagUnavailable as exc:
        return Read(why=str(exc if access is None else reachable(exc, access)))
    except AccessDenied as exc:
        return Read(why=exc.refused)  # a finding; most of them are no role's
    except OperatorError as exc:
        return Read(why=str(exc), missing=isinstance(exc, ObjectMissing))


async def cluster_facts(client: Client) -> Cluster:
    """Read what all QueueWorkers share."""
    return Cluster(
        now_s=time.time(),
        own_version=version("queueworker"),
        server_version=await read(looks.server_version(client)),
        definition=await read(looks.get_definition(client)),
        leases=await read(looks.list_leases(client, LEASE_NAME)),
    )


async def neighbours_of(client: Client, namespace: str) -> Neighbours:
    """Read what all QueueWorkers of a namespace share."""
    return Neighbours(
        queue_workers=await read(_listed(client, api.Watched.QUEUE_WORKERS, namespace)),
        scalers=await read(looks.list_scalers(client, namespace)),
        pods=await read(_listed(client, api.Watched.PODS, namespace)),
    )


async def facts_of(client: Client, access: Access, facts: Facts) -> Facts:
    """Read all else about one QueueWorker."""
    found = api.get_object(client, api.Watched.DEPLOYMENTS, facts.namespace, facts.target)
    return await _with_database(client, access, replace(facts, deployment=await read(found)))


async def _listed(client: Client, kind: api.Watched, namespace: str) -> Sequence[Body]:
    return [one async for one in api.list_objects(client, kind, namespace)]


async def _with_database(client: Client, access: Access, facts: Facts) -> Facts:
    try:
        dsn = await dsn_of(client, access, facts.body)
    except InvalidSettings as exc:
        denied = isinstance(exc.__cause__, AccessDenied)
        fault = "" if denied else str(exc)
        return _unasked(facts, str(exc), fault)
    except (OperatorError, InvalidResource) as exc:
        return _unasked(facts, str(exc), "")
    try:
        address = address_of(dsn)
    except LagUnavailable as exc:
        return _unasked(facts, str(exc), str(exc))
    examiner, source = Examiner(dsn), PostgresLag(dsn)
    try:
        return await _asked(replace(facts, address=Read(address)), access, examiner, source)
    finally:
        await examiner.close()
        await source.close()


def address_of(dsn: str) -> Address:
    """Say where a connection string leads.

    Raises:
        LagUnavailable: it is none.
    """
    given = parameters(dsn)
    host = str(given.get("host", ""))
    by_default = "verify-full" if given.get("sslrootcert") == SYSTEM_CERTIFICATES else "prefer"
    return Address(
        place=describe(given),
        sslmode=str(given.get("sslmode", by_default)),
        local=host in LOCAL or host.startswith("/"),
    )


async def _asked(facts: Facts, access: Access, examiner: Examiner, source: PostgresLag) -> Facts:
    began_s = time.time()
    try:
        server = Read(await examiner.server())
    except AccessRefused as exc:
        return replace(_unasked(facts, str(exc), ""), address=facts.address, refused=str(exc))
    except LagUnavailable as exc:
        why = str(reachable(exc, access))
        return replace(_unasked(facts, why, ""), address=facts.address)
    middle_s = (began_s + time.time()) / 2
    queues = [str(name) for name in facts.spec.get("queues") or ()]
    return replace(
        facts,
        server=server,
        clock_ahead_s=Read(server.get().at_s - middle_s),
        rights=await read(examiner.rights()),
        schema_version=await read(examiner.schema_version()),
        missing_indexes=await read(examiner.missing_indexes()),
        tables=await read(examiner.tables()),
        lags=await read(source.look(queues)),
        workers=await read(source.workers(queues)),
    )


def _unasked(facts: Facts, why: str, fault: str) -> Facts:
    """Give the reason in place of all that the database would have told."""
    nothing: Read[Any] = Read(why=why)
    return replace(
        facts,
        secret_fault=fault,
        address=nothing,
        server=nothing,
        clock_ahead_s=nothing,
        rights=nothing,
        schema_version=nothing,
        missing_indexes=nothing,
        tables=nothing,
        lags=nothing,
        workers=nothing,
    )
