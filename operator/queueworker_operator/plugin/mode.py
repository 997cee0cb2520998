"""`kubectl queueworker pause` and `resume`: spec.mode, and the one there was before."""

import argparse
import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from queueworker_operator.cli.output import print_document
from queueworker_operator.decision.model import Mode
from queueworker_operator.errors import InvalidSettings, ObjectChanged
from queueworker_operator.kube import changes
from queueworker_operator.plugin.access import Access, find, plain
from queueworker_operator.plugin.command import Commands, Help, add_command

FORMER = "queueworker.dev/mode-before-pause"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of a QueueWorker's mode."""

    name: str
    before: Mode
    mode: Mode


def add_to(several: Commands) -> None:
    """Describe the commands."""
    paused = add_command(
        several,
        "pause",
        pause,
        Help(
            purpose="leave its replicas as they are from now on (spec.mode: Paused)",
            about=(
                "Set spec.mode to Paused: nobody changes the replicas, and the workers go on. The mode "
                f"before is kept in the annotation {FORMER}."
            ),
            examples=("pause mail",),
        ),
    )
    paused.add_argument("name", metavar="NAME")
    resumed = add_command(
        several,
        "resume",
        resume,
        Help(
            purpose="go back to the mode there was before the pause",
            about="Set spec.mode to what it was before the pause, or to Auto.",
            examples=("resume mail",),
        ),
    )
    resumed.add_argument("name", metavar="NAME")


def pause(arguments: argparse.Namespace) -> int:
    """Leave the target as it is from now on."""
    change = _changed(arguments, Mode.PAUSED)
    if arguments.output != "table":
        print_document(asdict(change), arguments.output)
        return 0
    if change.before is Mode.PAUSED:
        print(f"{change.name} is paused already.")
        return 0
    print(
        f"{change.name} is paused (it was {change.before}): nobody changes its replicas, its workers "
        f"go on.\nBack: kubectl queueworker resume {plain(arguments.name)}"
    )
    return 0


def resume(arguments: argparse.Namespace) -> int:
    """Go back to the mode there was before the pause."""
    change = _changed(arguments, None)
    if arguments.output != "table":
        print_document(asdict(change), arguments.output)
    elif change.before is not Mode.PAUSED:
        print(f"{change.name} is not paused: it is {change.mode}.")
    else:
        print(f"{change.name} is {change.mode} again.")
    return 0


def _changed(arguments: argparse.Namespace, wanted: Mode | None) -> Change:
    return asyncio.run(_change(Access.of(arguments), plain(arguments.name), wanted))


async def _change(access: Access, name: str, wanted: Mode | None) -> Change:
    """Write the mode, only if the resource is as it was read; `wanted` None: as before the pause."""
    async with access.client() as client:
        body = await find(client, access.namespace, name)
        before = mode_of(body)
        mode = former_of(body) if wanted is None else wanted
        if before is mode or (wanted is None and before is not Mode.PAUSED):
            return Change(name=f"{access.namespace}/{name}", before=before, mode=before)
        try:
            patch = patch_of(body, mode, before)
            await changes.patch_queue_worker(client, access.namespace, name, patch)
        except ObjectChanged as exc:
            raise InvalidSettings(f"{name} was changed meanwhile: try again") from exc
    return Change(name=f"{access.namespace}/{name}", before=before, mode=mode)


def mode_of(body: Mapping[str, Any]) -> Mode:
    """Give the mode of the spec."""
    return Mode(body["spec"].get("mode", Mode.AUTO.value))


def former_of(body: Mapping[str, Any]) -> Mode:
    """Give the mode before the pause; Auto where nobody noted one."""
    noted = (body["metadata"].get("annotations") or {}).get(FORMER)
    return Mode(noted) if noted in {mode.value for mode in Mode} else Mode.AUTO


def patch_of(body: Mapping[str, Any], mode: Mode, before: Mode) -> Mapping[str, Any]:
    """Give the change, with the version that it is made from; a pause notes the mode it ends."""
    noted = before.value if mode is Mode.PAUSED else None
    return {
        "metadata": {
            "resourceVersion": body["metadata"]["resourceVersion"],
            "annotations": {FORMER: noted},
        },
        "spec": {"mode": mode.value},
    }
