"""What must be true before a worker claims: the schema is the one it speaks, its queues exist."""

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from uuid import UUID

from queueworker.errors import DatabaseError, DatabaseUnavailable, SchemaMismatch, SchemaMissing
from queueworker.link import Link
from queueworker.schema import check_version
from queueworker.settings import QueueShare, Settings
from queueworker.statements import statement
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
        await check_version(store)
        await _require_indexes(store)
        return [await store.queue(share.name) for share in shares]

    told, failures = "", 0
    while True:
        try:
            return await link.call(look)
        except (SchemaMissing, SchemaMismatch) as exc:
            say(str(exc))
            if told != str(exc):
                logger.warning("%s; waiting for it", exc)
            told = str(exc)
            await asyncio.sleep(CHECK_EVERY_S)
        except DatabaseUnavailable as exc:
            say(str(exc))
            await link.pause(failures, exc)
            failures += 1


async def _require_indexes(store: Store) -> None:
    missing = await store.fetch(statement("missing_indexes"), {})
    if missing:
        shown = ", ".join(f"queueworker.{part} ({columns})" for part, columns in missing)
        raise SchemaMismatch(
            f"an index is missing or invalid: {shown}; without it every claim would read the whole"
            " table. Make it again as the schema's migrations do"
        )


def why_not_ready(
    said: str | None, links: Sequence[Link], lease_trouble: DatabaseError | None
) -> str | None:
    """Say why this worker may not claim, or could not if it tried; None when all is well.

    `said` is the step that it stands at. What a new connection mends is no reason by itself.
    """
    if said is not None:
        return said if lease_trouble is None else f"{said}; {lease_trouble}"
    troubles = (link.trouble for link in links)
    lasting = (t for t in troubles if t and not isinstance(t, DatabaseUnavailable))
    return next((str(trouble) for trouble in lasting), None)


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
        pod_uid=settings.pod_uid,
    )


def own_version() -> str:
    """Give the version of this distribution."""
    try:
        return version("queueworker")
    except PackageNotFoundError:
        return "0+unknown"
