"""Turn frozen dataclasses into JSON-safe records and back, exactly: floats keep every bit."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Record = dict[str, Any]
Value = TypeVar("Value")


class InvalidRecord(ValueError):
    """The record was not written by this version, or was damaged. Start from a fresh state."""


def encode(value: Any) -> Any:
    """Give `value` as dicts, lists, strings and numbers."""
    if is_dataclass(value):
        return {field.name: encode(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    return value.value if isinstance(value, Enum) else value


def decode(kind: type[Value], record: object) -> Value:
    """Build a `kind` from what `encode` gave; missing fields take their defaults.

    Raises:
        InvalidRecord: a field is unknown, missing without a default, or of another type.
    """
    try:
        decoded: Value = _decode(kind, record)
    except (TypeError, ValueError, OverflowError) as exc:
        raise InvalidRecord(f"no {kind.__name__} can be read from the record: {exc}") from exc
    return decoded


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _decode(kind: Any, record: Any) -> Any:
    if is_dataclass(kind):
        return _decode_dataclass(kind, record)
    if get_origin(kind) is UnionType:
        inner = next(option for option in get_args(kind) if option is not type(None))
        return None if record is None else _decode(inner, record)
    if get_origin(kind) is tuple:
        return _decode_tuple(get_args(kind), record)
    if issubclass(kind, Enum):
        return kind(record)
    return _decode_scalar(kind, record)


def _decode_dataclass(kind: Any, record: Any) -> Any:
    if not isinstance(record, Mapping):
        raise TypeError(f"{kind.__name__} is not an object")
    hints = _hints(kind)
    unknown = set(record) - set(hints)
    if unknown:
        raise ValueError(f"{kind.__name__} has no field {min(unknown)!r}")
    return kind(**{name: _decode(hints[name], value) for name, value in record.items()})


def _decode_tuple(items: tuple[Any, ...], record: Any) -> Any:
    if not isinstance(record, list | tuple):
        raise TypeError("a list was expected")
    if items[-1] is Ellipsis:
        return tuple(_decode(items[0], value) for value in record)
    return tuple(_decode(item, value) for item, value in zip(items, record, strict=True))


def _decode_scalar(kind: type, record: Any) -> Any:
    if kind is float and isinstance(record, int | float) and not isinstance(record, bool):
        number = float(record)
        if not math.isfinite(number):
            raise ValueError("a number is not finite")
        return number
    if type(record) is not kind:
        raise TypeError(f"{kind.__name__} was expected")
    return record
