"""`kubectl queueworker drain POD`: the worker of a pod claims nothing more, until it is undone."""

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from queueworker_operator.cli.output import print_document
from queueworker_operator.decision.model import PodId
from queueworker_operator.errors import InvalidSettings, ObjectMissing
from queueworker_operator.kube import Client, api
from queueworker_operator.lag import WorkerState
from queueworker_operator.lag.pods import rows_of
from queueworker_operator.lag.postgres import PostgresLag
from queueworker_operator.plugin.access import Access, bodies_of, dsn_of, reachable_errors
from queueworker_operator.plugin.command import Commands, Help, add_command
from queueworker_operator.plugin.tree import pods_of
from queueworker_operator.resource import parse
from queueworker_operator.target.objects import pod_of
from queueworker_operator.text import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """A pod whose workers were told to drain, or to claim again."""

    pod: str
    queue_worker: str
    workers: int
    running_jobs: int
    drain: bool


def add_to(several: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        several,
        "drain",
        run,
        Help(
            purpose="tell the worker of a pod to claim nothing more and to finish what runs",
            about=(
                "Set the drain flag of the pod's worker in the database: it claims nothing more, gives back "
                "what it has not started, finishes what runs, and stays alive. The operator may end it in "
                "its next scale-in; one that starts anew may take the flag back: pause first to forbid both."
            ),
            examples=(
                "drain mail-worker-7d4b9-x2x",
                "drain mail-worker-7d4b9-x2x --undo",
            ),
        ),
    )
    parser.add_argument("pod", metavar="POD")
    parser.add_argument("--undo", action="store_true", help="let it claim again")


def run(arguments: argparse.Namespace) -> int:
    """Set the flag, or take it back."""
    access, pod = Access.of(arguments), arguments.pod.removeprefix("pod/")
    drained = asyncio.run(_drain(access, pod, drain=not arguments.undo))
    if arguments.output == "table":
        print(told(drained))
    else:
        print_document(asdict(drained), arguments.output)
    return 0


def told(drained: Drained) -> str:
    """Say what it does now."""
    if not drained.drain:
        return f"{drained.pod} claims jobs of {drained.queue_worker} again."
    jobs = counted(drained.running_jobs, "job")
    return (
        f"{drained.pod} drains: it claims nothing more, gives back what it has not started, and "
        f"finishes {jobs}.\nIt stays alive. Watch: kubectl queueworker get --watch. "
        f"Back: kubectl queueworker drain {drained.pod} --undo"
    )


async def _drain(access: Access, pod: str, *, drain: bool) -> Drained:
    async with access.client() as client:
        body, pod_id = await owner_of(client, access, pod)
        spec, source = parse(body), PostgresLag(await dsn_of(client, access, body))
        try:
            with reachable_errors(access):
                mine = workers_of(await source.workers(spec.queues), pod_id)
                await source.set_drain([one.worker_id for one in mine], drain=drain)
        finally:
            await source.close()
    busy = sum(one.busy for one in mine)
    return Drained(
        pod=pod, queue_worker=spec.key, workers=len(mine), running_jobs=busy, drain=drain
    )


def workers_of(workers: Sequence[WorkerState], pod: PodId) -> Sequence[WorkerState]:
    """Choose the live workers of a pod.

    Raises:
        InvalidSettings: there is none.
    """
    mine = rows_of(workers, [pod], shared=False)
    if not mine:
        raise InvalidSettings(
            f"no live worker of pod {pod.name} is registered: is it Ready, and do its "
            "QUEUEWORKER_POD_NAME and QUEUEWORKER_POD_NAMESPACE come from metadata.name and "
            "metadata.namespace?"
        )
    return mine


async def owner_of(client: Client, access: Access, pod: str) -> tuple[Mapping[str, Any], PodId]:
    """Find the QueueWorker whose Deployment has this pod, and the pod.

    Raises:
        InvalidSettings: there is no such pod, or no QueueWorker has it.
    """
    place = access.namespace
    try:
        found = await api.get_object(client, api.Watched.PODS, place, pod)
    except ObjectMissing as exc:
        raise InvalidSettings(
            f"there is no pod {pod} in namespace {place}: -n names another"
        ) from exc
    for body in await bodies_of(client, access, ()):
        target = body["spec"]["scaleTargetRef"]["name"]
        try:
            deployment = await api.get_object(client, api.Watched.DEPLOYMENTS, place, target)
        except ObjectMissing:
            continue
        if pods_of(deployment, [found]):
            return body, pod_of(found, 0.0).id
    raise InvalidSettings(f"no QueueWorker in namespace {place} scales the Deployment of pod {pod}")
