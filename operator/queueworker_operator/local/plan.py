"""What to run: options and manifests, checked before anything is started."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from queueworker_operator.errors import InvalidResource, InvalidSettings
from queueworker_operator.local.command import Machine, command_of
from queueworker_operator.local.database import with_commands
from queueworker_operator.local.manifests import Manifests, read_manifests
from queueworker_operator.local.replay import Replay
from queueworker_operator.local.trace import read_settings, read_trace

STATE_FOLDER = ".queueworker"
LOG_FOLDER = "logs"
DATABASE_FOLDER = "db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says. `dsn` names a database to use instead of the embedded one."""

    folder: Path
    dsn: str | None = None
    trace: Path | None = None
    time_scale: float | None = None
    task: str | None = None
    exit_when_done: bool = False
    json_file: Path | None = None
    plot_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that is known before the start."""

    options: Options
    manifests: Manifests
    replay: Replay | None
    trace_name: str | None
    environment: Mapping[str, str]


def make_plan(options: Options, environment: Mapping[str, str]) -> Plan:
    """Read the folder and check that all of it can be run.

    Raises:
        InvalidResource: a manifest cannot be used here.
        InvalidSettings: an option or the trace cannot be used.
    """
    for file in (options.json_file, options.plot_file):
        if file is not None and not file.absolute().parent.is_dir():
            raise InvalidSettings(f"{file} cannot be written: create {file.absolute().parent}")
    manifests = read_manifests(options.folder.absolute())
    replay, trace_name = _replay(options, manifests)
    plan = Plan(
        options=options,
        manifests=manifests,
        replay=replay,
        trace_name=trace_name,
        environment=with_commands(environment),
    )
    _check_commands(plan)
    return plan


def _replay(options: Options, manifests: Manifests) -> tuple[Replay | None, str | None]:
    settings = read_settings(manifests.folder)
    trace = options.trace or settings.trace
    if trace is None:
        return None, None
    task = options.task or settings.task
    if task is None:
        raise InvalidSettings(f"the trace {trace} needs a task to call: give --task NAME")
    scale = settings.time_scale if options.time_scale is None else options.time_scale
    queue = settings.queue or manifests.workloads[0].resource.queues[0]
    arrivals = read_trace(trace, scale)
    return Replay(arrivals, queue, task), _trace_name(trace, scale)


def _trace_name(trace: Path, scale: float) -> str:
    if scale == 1:
        return trace.name
    faster = 1 / scale
    return f"{trace.name}, {faster:g} times faster" if faster > 1 else f"{trace.name}, x{scale:g}"


def _check_commands(plan: Plan) -> None:
    """Make each command once, so that what is missing is said before anything starts."""
    machine = Machine(dsn="", node="", environment=plan.environment)
    for workload in plan.manifests.workloads:
        command = command_of(workload, "pod", plan.manifests.folder, machine)
        path = command.environment.get("PATH")
        if shutil.which(command.words[0], path=path) is None:
            raise InvalidResource(
                f"Deployment {workload.resource.target_name} runs {command.words[0]}, which is not "
                "on this machine: install it, or give the command that is"
            )


@contextmanager
def workspace(plan: Plan) -> Iterator[Path]:
    """Give a folder for the database and the pods' output.

    A replay gets a new one that is deleted afterwards; without one it stays beside the manifests.

    Raises:
        InvalidSettings: it cannot be made.
    """
    try:
        if plan.replay is None:
            folder = plan.manifests.folder / STATE_FOLDER
        else:
            folder = Path(tempfile.mkdtemp(prefix="queueworker-local-"))
            folder.chmod(0o711)  # as root, the database's own user must pass through
        (folder / LOG_FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise InvalidSettings(f"no folder for the state: {exc.strerror}: {exc.filename}") from exc
    try:
        yield folder
    finally:
        if plan.replay is not None:
            shutil.rmtree(folder, ignore_errors=True)


def node_name() -> str:
    """Name this machine as a node."""
    return os.uname().nodename
