"""Tasks: typed functions whose calls become jobs."""

import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, ParamSpec, TypeVar

from queueworker.compat import override
from queueworker.errors import DuplicateTask, InvalidCall, TaskError, UnknownTask
from queueworker.job import POLICIES, Job, Policy, job_now
from queueworker.payload import encode
from queueworker.redaction import shortened
from queueworker.retry import Backoff, exponential
from queueworker.unique import Unique, key_maker

P = ParamSpec("P")
R = TypeVar("R")

CONTEXT_TYPE = "Context"
MAX_ATTEMPTS = 1000
MOST_NAME_CHARACTERS = 40
QUEUE_NAME = re.compile(r"[A-Za-z0-9_./-]{1,128}")
MAX_PRIORITY = 9


class Executor(Enum):
    """Where a handler runs; `AUTO` takes the event loop for `async def`, a thread for `def`."""

    AUTO = "auto"
    ASYNC = "async"
    THREAD = "thread"
    PROCESS = "process"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """What holds for every job of a task unless the call says otherwise."""

    queue: str = "default"
    priority: int = 0
    max_attempts: int = 5
    backoff: Backoff = field(default_factory=exponential)
    timeout_s: float | None = None
    executor: Executor = Executor.AUTO
    unique: Unique = False
    on_duplicate: Policy = "keep"


class Task(Generic[P, R]):
    """A function whose call builds a `Job`; `run` calls the function itself.

    `P` are the parameters of the call: those of the function, without an injected context.
    """

    def __init__(self, function: Callable[..., R], name: str, options: TaskOptions) -> None:
        _check_options(name, options)
        self.function = function
        self.name = name
        self.options = options
        self.wants_context, self.signature = _signature(function, name)
        self.executor = _executor(function, name, options.executor)
        self._unique = key_maker(name, options.unique, self.signature)
        self._names = frozenset(self.signature.parameters)
        self._required = frozenset(
            parameter.name
            for parameter in self.signature.parameters.values()
            if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
        )

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Build the job of this call.

        Raises:
            InvalidCall: the arguments do not fit the signature, or are not JSON.
        """
        bound = self.bind(*args, **kwargs)
        text = _json(self.name, bound)
        options = self.options
        return job_now(
            task=self.name,
            queue=options.queue,
            args=bound,
            priority=options.priority,
            max_attempts=options.max_attempts,
            timeout_s=options.timeout_s,
            unique_key=None if self._unique is None else self._unique(bound),
            on_duplicate=options.on_duplicate,
            args_json=text,
        )

    def run(self, *args: object, **kwargs: object) -> R:
        """Call the function directly, without a queue; a context is given like any argument."""
        return self.function(*args, **kwargs)

    def bind(self, *args: object, **kwargs: object) -> Mapping[str, object]:
        """Check arguments (without the context) against the signature; give them by name.

        Raises:
            InvalidCall: they do not fit.
        """
        if not args and self.fits(kwargs):
            return kwargs  # the usual case, twenty times as fast
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as exc:
            raise InvalidCall(f"task {self.name!r}: {exc}{self._unexpected(kwargs)}") from None
        by_name = dict(bound.arguments)
        for parameter in self.signature.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                by_name.update(by_name.pop(parameter.name, {}))
        return by_name

    def fits(self, arguments: Mapping[str, object]) -> bool:
        """Tell whether these are names of parameters, and all that are needed."""
        return self._required <= arguments.keys() <= self._names

    def _unexpected(self, given: Mapping[str, object]) -> str:
        """Name what no parameter takes: Python itself tells of the first trouble alone."""
        kinds = {parameter.kind for parameter in self.signature.parameters.values()}
        others = [name for name in given if name not in self._names]
        if not others or inspect.Parameter.VAR_KEYWORD in kinds:
            return ""
        shown = ", ".join(shortened(repr(name), MOST_NAME_CHARACTERS) for name in others[:5])
        return (
            f"; unexpected: {shown}; it takes: {', '.join(self.signature.parameters) or 'nothing'}"
        )

    @override
    def __repr__(self) -> str:
        return f"Task({self.name!r}, queue={self.options.queue!r})"


class TaskRegistry:
    """Tasks by name: a payload names an entry here, never a thing to import."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task[..., object]] = {}

    def add(self, task: Task[..., object]) -> None:
        """Register a task.

        Raises:
            DuplicateTask: another function has this name.
        """
        known = self._tasks.get(task.name)
        if known is not None and known is not task:
            raise DuplicateTask(f"task {task.name!r} is defined twice; give one another name=")
        self._tasks[task.name] = task

    def get(self, name: str) -> Task[..., object]:
        """Find a task by name.

        Raises:
            UnknownTask: no such task.
        """
        try:
            return self._tasks[name]
        except KeyError:
            raise UnknownTask(f"task {name!r} is not registered in this app") from None

    def __iter__(self) -> Iterator[Task[..., object]]:
        return iter(self._tasks.values())

    def __len__(self) -> int:
        return len(self._tasks)


def executor_named(name: str) -> Executor:
    """Read an executor's name.

    Raises:
        TaskError: there is none of this name.
    """
    try:
        return Executor(name)
    except ValueError:
        choices = ", ".join(kind.value for kind in Executor)
        raise TaskError(f"executor {name!r} is not known; give one of: {choices}") from None


def _signature(function: Callable[..., object], name: str) -> tuple[bool, inspect.Signature]:
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    for parameter in parameters:
        if parameter.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL):
            raise TaskError(
                f"task {name!r}: parameter {parameter.name!r} cannot be"
                " given by name; arguments travel by name"
            )
    wants_context = bool(parameters) and _is_context(parameters[0].annotation)
    kept = parameters[1:] if wants_context else parameters
    for parameter in kept:
        if _is_context(parameter.annotation):
            raise TaskError(f"task {name!r}: {parameter} must be the first parameter")
    return wants_context, signature.replace(parameters=kept)


def _is_context(annotation: object) -> bool:
    # By name: the class lives in a higher layer, and annotations may be strings.
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return name.rpartition(".")[2] == CONTEXT_TYPE


def _executor(function: Callable[..., object], name: str, asked: Executor) -> Executor:
    is_async = inspect.iscoroutinefunction(function)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TaskError(
            f"task {name!r} is a generator, whose body a call does not run; use no yield"
        )
    if asked is Executor.AUTO:
        return Executor.ASYNC if is_async else Executor.THREAD
    if (asked is Executor.ASYNC) != is_async:
        raise TaskError(
            f"task {name!r}: executor {asked.value!r} does not fit; use 'async' for async def,"
            " 'thread' or 'process' for def"
        )
    return asked


def _check_options(name: str, options: TaskOptions) -> None:
    if not QUEUE_NAME.fullmatch(options.queue):
        raise TaskError(
            f"task {name!r}: queue {options.queue!r} is not valid; give up to 128 letters, digits and _ . / -"
        )
    if options.on_duplicate not in POLICIES:
        raise TaskError(f"task {name!r}: on_duplicate must be one of: {', '.join(POLICIES)}")
    if not (isinstance(options.unique, bool | str) or callable(options.unique)):
        raise TaskError(
            f"task {name!r}: unique must be True, a template like '{{user_id}}', or a function"
        )
    if not 0 <= options.priority <= MAX_PRIORITY:
        raise TaskError(f"task {name!r}: priority must be from 0 to {MAX_PRIORITY}")
    if not 1 <= options.max_attempts <= MAX_ATTEMPTS:
        raise TaskError(f"task {name!r}: max_attempts must be from 1 to {MAX_ATTEMPTS}")
    timeout_s = options.timeout_s
    if timeout_s is not None and not (math.isfinite(timeout_s) and timeout_s > 0):
        raise TaskError(f"task {name!r}: timeout_s must be a number of seconds above 0, or None")


def _json(name: str, args: Mapping[str, object]) -> str:
    try:
        return encode(args)
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidCall(f"task {name!r}: the arguments are not JSON: {exc}") from None
