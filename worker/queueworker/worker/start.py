"""What must be true before a worker claims: the schema is the one it speaks, its queues exist."""

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from uuid import UUID

from queueworker.errors import DatabaseUnavailable, SchemaMismatch, SchemaMissing
from queueworker.link import Link
from queueworker.schema import latest_version
from queueworker.settings import QueueShare, Settings
from queueworker.store import QueueRow, Store, WorkerRow

logger = logging.getLogger(__name__)

CHECK_EVERY_S = 1.0


async def queues_when_ready(
    link: Link, shares: Sequence[QueueShare], say: Callable[[str], None]
) -> list[QueueRow]:
    """Wait for a database with the right schema; give the queues' rows, made if need be.

    Raises:
        PermissionDenied: waiting would not help.
    """

    async def look(store: Store) -> list[QueueRow]:
        await _require_version(store)
        return [await store.queue(share.name) for share in shares]

    told, failures = "", 0
    while True:
        try:
            return await link.call(look)
        except (SchemaMissing, SchemaMismatch) as exc:
            say(str(exc))
            if told != str(exc):
                logger.warning("%s", exc)
            told = str(exc)
            await asyncio.sleep(CHECK_EVERY_S)
        except DatabaseUnavailable as exc:
            say(str(exc))
            await link.pause(failures, exc)
            failures += 1


async def _require_version(store: Store) -> None:
    found, spoken = await store.schema_version(), latest_version()
    if found != spoken:
        remedy = "run: queueworker migrate" if found < spoken else "install the newer queueworker"
        raise SchemaMismatch(f"the schema has version {found}, this code speaks {spoken}; {remedy}")


def worker_row(settings: Settings, tasks: Sequence[str]) -> WorkerRow:
    """Describe this process; the id is drawn at each registration."""
    return WorkerRow(
        id=UUID(int=0),
        pod=settings.pod or socket.gethostname(),
        namespace=settings.namespace,
        node=settings.node,
        version=own_version(),
        queues=tuple(share.name for share in settings.queues),
        tasks=tuple(tasks),
        slots=settings.concurrency,
        ttl_s=settings.lease_ttl_s,
    )


def own_version() -> str:
    """Give the version of this distribution."""
    try:
        return version("queueworker")
    except PackageNotFoundError:
        return "0+unknown"
