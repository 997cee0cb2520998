"""Wires the operator: one event loop for watches, database loops, lease, statuses and probes."""

import asyncio
import contextlib
import logging
import random
import signal
import socket
import time
import uuid
from dataclasses import dataclass, replace

from prometheus_client import CollectorRegistry

from queueworker_operator.controller import DatabaseLoop
from queueworker_operator.errors import ClusterRestored, ClusterUnavailable, ObjectMissing
from queueworker_operator.handlers import watch
from queueworker_operator.handlers.dispatch import Dispatcher, NewTarget
from queueworker_operator.handlers.health import Health
from queueworker_operator.handlers.loops import Loops, NewLoop
from queueworker_operator.handlers.others import Others
from queueworker_operator.handlers.relist import Relisting
from queueworker_operator.handlers.roster import Roster
from queueworker_operator.handlers.secrets import Database, Secrets
from queueworker_operator.handlers.status import StatusWriter
from queueworker_operator.kube import Client, Credentials
from queueworker_operator.kube.client import Call
from queueworker_operator.lag.postgres import PostgresLag
from queueworker_operator.leader import Leader
from queueworker_operator.metrics import Metrics
from queueworker_operator.settings import Settings
from queueworker_operator.target.cache import ClusterCache
from queueworker_operator.target.deployment import DeploymentTarget

logger = logging.getLogger(__name__)

CLOCK = time.monotonic
LOOK_FOR_KIND_EVERY_S = 2.0
SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of a running operator."""

    leader: Leader
    loops: Loops
    dispatcher: Dispatcher
    statuses: StatusWriter
    relisting: Relisting
    others: Others
    health: Health
    roster: Roster
    cache: ClusterCache


def grant_it(_: Call) -> str:
    """Say who grants the operator a right that it lacks."""
    return "grant it to the operator's service account (the chart's Role does)"


async def operate(settings: Settings, credentials: Credentials) -> None:
    """Run until SIGTERM; while the kind QueueWorker is not installed, say so and wait for it.

    After a restore of the cluster all is read anew: caches take nothing older than they have, and
    kopf goes on watching from a version that is yet to come.

    Raises:
        OperatorError: it could not start; the message says what to do.
    """
    stop = asyncio.Event()
    _take_signals(stop)
    async with Client(credentials, remedy=grant_it) as client:
        while not stop.is_set():
            parts = build(settings, credentials, client)
            server, port = await parts.health.serve(settings.port)
            settings = replace(settings, port=port)  # 0 is any: the same one in the next round
            try:
                await _operate_once(parts, settings, credentials, stop)
            except ClusterRestored as exc:
                logger.warning("%s", exc)
            except ClusterUnavailable:
                if stop.is_set() or not await parts.relisting.is_kind_missing():
                    raise
            finally:
                await server.cleanup()


async def _operate_once(
    parts: Parts, settings: Settings, credentials: Credentials, stop: asyncio.Event
) -> None:
    """Fill the caches, and run until a signal.

    Raises:
        ClusterUnavailable: the watch ended, for instance because the kind was deleted.
    """
    await _fill(parts.relisting, stop)
    if stop.is_set():
        return
    parts.health.synced = True
    logger.info("operator ready on port %d, cluster %s", settings.port, credentials.server)
    await _run(parts, settings, credentials, stop)


async def _fill(relisting: Relisting, stop: asyncio.Event) -> None:
    """Fill the caches as soon as the kind QueueWorker is there; nothing is scaled meanwhile."""
    is_told = False
    while not stop.is_set():
        try:
            await relisting.fill()
        except ObjectMissing as exc:
            if not is_told:
                logger.error("waiting: %s", exc)  # noqa: TRY400 -- the reason is the whole story
            is_told = True
        else:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_FOR_KIND_EVERY_S):
                await stop.wait()


def build(settings: Settings, credentials: Credentials, client: Client) -> Parts:
    """Make all parts and tell them of each other."""
    registry = CollectorRegistry()
    metrics = Metrics(registry, CLOCK)
    roster, cache = Roster(), ClusterCache(CLOCK, time.time)
    leader = candidate(settings, credentials, client)
    metrics.leader.set_function(lambda: float(leader.may_write()))
    statuses = StatusWriter(client, roster, cache, may_write=leader.may_write, clock=CLOCK)
    loops = Loops(loop_maker(settings, statuses, leader, metrics))
    dispatcher = Dispatcher(
        roster,
        cache,
        secrets=Secrets(client, clock=CLOCK, random_unit=random.random),
        loops=loops,
        statuses=statuses,
        new_target=target_maker(cache, client),
    )
    statuses.on_access_refused = dispatcher.reread_secret
    own = settings.leader_namespace or credentials.namespace
    others = Others(own, clock=CLOCK, warn=statuses.warn)
    statuses.signature = others.signature
    dispatcher.on_settled = metrics.know
    return Parts(
        leader=leader,
        loops=loops,
        dispatcher=dispatcher,
        statuses=statuses,
        relisting=Relisting(
            client, roster, cache, namespaces=places(settings, credentials), wake=dispatcher.wake
        ),
        others=others,
        health=Health(clock=CLOCK, ticked_at_s=loops.ticked_at_s, registry=registry),
        roster=roster,
        cache=cache,
    )


def candidate(settings: Settings, credentials: Credentials, client: Client) -> Leader:
    """Make the candidate for the Lease; its identity is new at each start."""
    return Leader(
        client,
        namespace=settings.leader_namespace or credentials.namespace,
        identity=f"{settings.identity or socket.gethostname()}_{uuid.uuid4().hex[:8]}",
        clock=CLOCK,
        pod=settings.identity,
    )


def loop_maker(
    settings: Settings, statuses: StatusWriter, leader: Leader, metrics: Metrics
) -> NewLoop:
    """Give what makes the loop of one database."""

    def new_loop(database: Database) -> DatabaseLoop:
        return DatabaseLoop(
            PostgresLag(database.dsn, database.listen_dsn, settings.database),
            statuses,
            may_write=leader.may_write,
            settings=settings.loop,
            clock=CLOCK,
            metrics=metrics,
        )

    return new_loop


def target_maker(cache: ClusterCache, client: Client) -> NewTarget:
    """Give what makes the target of one Deployment."""

    def new_target(namespace: str, name: str) -> DeploymentTarget:
        return DeploymentTarget(cache, client, namespace=namespace, name=name, clock=CLOCK)

    return new_target


def places(settings: Settings, credentials: Credentials) -> tuple[str | None, ...]:
    """Name the namespaces to watch; None is everywhere."""
    if settings.all_namespaces:
        return (None,)
    return settings.namespaces or (credentials.namespace,)


async def _run(
    parts: Parts, settings: Settings, credentials: Credentials, stop: asyncio.Event
) -> None:
    """Run all tasks until a signal, or until one of them fails."""
    flags = watch.Flags()
    feed = watch.Feed(
        parts.roster, parts.cache, parts.relisting, parts.dispatcher.wake, parts.others
    )
    registry = watch.register(feed, credentials)
    forever = [
        asyncio.create_task(part.run(), name=type(part).__name__)
        for part in (parts.leader, parts.statuses, parts.dispatcher, parts.relisting)
    ]
    namespaces = places(settings, credentials)
    kopf = asyncio.create_task(watch.watch(registry, namespaces, flags), name="kopf")
    stopping = asyncio.create_task(_stopped(stop, flags.started), name="stop")
    try:
        done, _ = await asyncio.wait(
            [*forever, kopf, stopping], return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            task.result()  # raises what ended it
    finally:
        for task in (*forever[1:], stopping):
            task.cancel()
        await asyncio.gather(*forever[1:], stopping, return_exceptions=True)
        await parts.loops.stop()  # under the lease still: states are stored, drains undone
        forever[0].cancel()
        await parts.leader.release()
        flags.stop.set()
        await asyncio.gather(kopf, return_exceptions=True)


async def _stopped(stop: asyncio.Event, watching: asyncio.Event) -> None:
    """Wait for a signal. kopf takes the signals for itself when it starts: take them back."""
    _take_signals(stop)
    first = [asyncio.create_task(event.wait()) for event in (stop, watching)]
    await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    for waiting in first:
        waiting.cancel()
    _take_signals(stop)
    await stop.wait()


def _take_signals(stop: asyncio.Event) -> None:
    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
