"""From QueueWorkers, Secrets and Deployments to assignments: who decides for what."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from queueworker_operator.controller import Assignment
from queueworker_operator.decision.model import Mode
from queueworker_operator.errors import InvalidResource
from queueworker_operator.handlers.loops import Loops
from queueworker_operator.handlers.roster import Member, Roster
from queueworker_operator.handlers.secrets import Database, Secrets
from queueworker_operator.handlers.status import StatusWriter
from queueworker_operator.resource import (
    Claim,
    Condition,
    ConditionReason,
    ResourceSpec,
    Trouble,
    find_conflicts,
)
from queueworker_operator.target.cache import ClusterCache
from queueworker_operator.target.deployment import DeploymentTarget

logger = logging.getLogger(__name__)

CHECK_EVERY_S = 5.0
HPA_WRITER = "kube-controller-manager"  # of its controllers only the HPA's writes replicas

NewTarget = Callable[[str, str], DeploymentTarget]


class Dispatcher:
    """Settles who is acted upon, whenever something changed and every few seconds.

    Args:
        roster: The QueueWorkers.
        cache: The Deployments.
        secrets: Where the databases are.
        loops: Whom to assign to.
        statuses: Whom to tell what stands in the way.
        new_target: Makes the target of one Deployment (namespace, name).
    """

    def __init__(
        self,
        roster: Roster,
        cache: ClusterCache,
        *,
        secrets: Secrets,
        loops: Loops,
        statuses: StatusWriter,
        new_target: NewTarget,
    ) -> None:
        self._roster = roster
        self._cache = cache
        self._secrets = secrets
        self._loops = loops
        self._statuses = statuses
        self._new_target = new_target
        self._targets: dict[tuple[str, tuple[str, str]], DeploymentTarget] = {}
        self._changed = asyncio.Event()
        self.on_settled: Callable[[Collection[str]], None] = lambda _: None

    def wake(self) -> None:
        """Ask to settle now: something changed."""
        self._changed.set()

    def reread_secret(self, key: str) -> None:
        """Read the Secret of a QueueWorker now: the database refused what it said."""
        member = self._roster.get(key)
        if (
            member is not None
            and member.spec is not None
            and self._secrets.expire(member.spec.namespace, member.spec.secret_name)
        ):
            self.wake()

    async def run(self) -> None:
        """Settle until cancelled."""
        while True:
            self._changed.clear()
            await self.settle()
            try:
                async with asyncio.timeout(CHECK_EVERY_S):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def settle(self) -> None:
        """Read what is due, find conflicts, assign the rest."""
        specs = self._roster.specs()
        await self._secrets.refresh({(spec.namespace, spec.secret_name) for spec in specs})
        databases = {spec.key: self._secrets.database_of(spec) for spec in specs}
        troubles = self._troubles(specs, databases)
        wanted = {
            spec.key: (database, self._assignment(spec))
            for spec in specs
            if isinstance(database := databases[spec.key], Database) and spec.key not in troubles
        }
        kept = {(spec.key, _target_of(spec)) for spec in specs}
        self._targets = {place: at for place, at in self._targets.items() if place in kept}
        self._loops.settle(wanted)
        for key, member in self._roster.members():
            self._statuses.tell(key, member.generation, _said(member, troubles.get(key)))
        self._statuses.retain(self._roster.names())
        self.on_settled(self._roster.names())

    def _troubles(
        self, specs: list[ResourceSpec], databases: Mapping[str, Database | Trouble]
    ) -> dict[str, Trouble]:
        """Find who must not act. One in DryRun does not: it stands in nobody's way."""
        acting = [spec for spec in specs if spec.policy.mode is not Mode.DRY_RUN]
        troubles = find_conflicts(_claim(spec, databases[spec.key]) for spec in acting)
        for spec in specs:
            database = databases[spec.key]
            if spec.key not in troubles and isinstance(database, Trouble):
                troubles[spec.key] = database
        for spec in acting:
            if spec.key not in troubles and (rival := self._cache.rival_of(_target_of(spec))):
                troubles[spec.key] = _rivalry(spec, rival)
        return troubles

    def _assignment(self, spec: ResourceSpec) -> Assignment:
        place = _target_of(spec)
        target = self._targets.get((spec.key, place)) or self._new_target(*place)
        self._targets[spec.key, place] = target
        deployment = self._cache.deployment(*place)
        policy = spec.policy
        if deployment is not None and deployment.slots is not None:
            policy = replace(policy, default_slots=deployment.slots)
        return Assignment(
            key=spec.key,
            queues=spec.queues,
            policy=policy,
            target=target,
            generation=spec.generation,
        )


def _target_of(spec: ResourceSpec) -> tuple[str, str]:
    return spec.namespace, spec.target_name


def _claim(spec: ResourceSpec, database: Database | Trouble) -> Claim:
    return Claim(
        key=spec.key,
        created_at=spec.created_at,
        target=_target_of(spec),
        database=database.dsn if isinstance(database, Database) else None,
        queues=spec.queues,
    )


def _said(member: Member, trouble: Trouble | None) -> tuple[Trouble, ...]:
    if member.refusal is not None:
        return (_invalid(member.refusal),)
    return () if trouble is None else (trouble,)


def _invalid(refusal: InvalidResource) -> Trouble:
    return Trouble(
        condition=Condition.READY, reason=ConditionReason.INVALID_SPEC, message=str(refusal)
    )


def _rivalry(spec: ResourceSpec, manager: str) -> Trouble:
    of_hpa = manager == HPA_WRITER
    remedy = (
        f"kubectl queueworker doctor {spec.name} -n {spec.namespace} names what has to go"
        if of_hpa
        else "remove it, or let it ignore spec.replicas"
    )
    return Trouble(
        condition=Condition.CONFLICTED,
        reason=ConditionReason.RIVAL_WRITER,
        message=f"{'an HPA' if of_hpa else manager} keeps overwriting the replicas of deployment"
        f" {spec.target_name}: {remedy}; tried again after two of its turns",
    )
