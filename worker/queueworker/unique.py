"""Unique keys made from a job's arguments. Pure."""

import hashlib
import inspect
from collections.abc import Callable, Mapping
from string import Formatter

from queueworker.errors import InvalidCall, TaskError
from queueworker.payload import encode_sorted

MAX_READABLE = 200

Unique = bool | str | Callable[..., str | None]
KeyMaker = Callable[[Mapping[str, object]], str | None]


def key_maker(name: str, unique: Unique, signature: inspect.Signature) -> KeyMaker | None:
    """Turn a task's option `unique` into a function of a call's arguments.

    True means all arguments; a text is a template such as "{user_id}"; a function gets the arguments by
    name and gives a text, or None for a job that need not be unique. Defaults count as given. The key
    begins with the task's name: two tasks of a queue do not meet.

    Raises:
        TaskError: the template names no parameter of the task.
    """
    if unique is False:
        return None
    if unique is True:
        return lambda args: _key(name, encode_sorted(_complete(signature, args)))
    if isinstance(unique, str):
        _check_template(name, unique, signature)
        return lambda args: _key(name, unique.format_map(_complete(signature, args)))
    return lambda args: _from_function(name, unique, _complete(signature, args))


def _complete(signature: inspect.Signature, args: Mapping[str, object]) -> dict[str, object]:
    defaults = {
        parameter.name: parameter.default
        for parameter in signature.parameters.values()
        if parameter.default is not parameter.empty
    }
    return {**defaults, **args}


def _from_function(
    name: str, function: Callable[..., str | None], args: Mapping[str, object]
) -> str | None:
    key = function(**args)
    if key is None:
        return None
    if not isinstance(key, str):
        raise InvalidCall(
            f"task {name!r}: unique gave {type(key).__name__}; it must give a text, or None"
        )
    return _key(name, key)


def _key(name: str, text: str) -> str:
    key = f"{name}:{text}"
    if len(key) <= MAX_READABLE:
        return key
    return f"{name[:100]}:sha256:{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _check_template(name: str, template: str, signature: inspect.Signature) -> None:
    try:
        fields = [field for _, field, _, _ in Formatter().parse(template) if field is not None]
    except ValueError as exc:
        raise TaskError(f"task {name!r}: unique={template!r} is no template: {exc}") from None
    # Plain names alone: {user.id} or {user[id]} would read into the values.
    unknown = [field for field in fields if field not in signature.parameters]
    if unknown or not fields:
        raise TaskError(
            f"task {name!r}: unique={template!r} must name parameters of the task, as in"
            ' "{user_id}"'
        )
