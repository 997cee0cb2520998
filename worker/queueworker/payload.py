"""The JSON text of a job's arguments, and the bounds that need no database. Pure."""

import json
import re
from collections.abc import Mapping

from queueworker.errors import EnqueueRefused

MAX_BYTES = 1024 * 1024
# Escapes that Postgres cannot store. A surrogate is fine as one of a pair, an escape after a backslash
# of its own is none.
HIGH, LOW = r"\\ud[89ab][0-9a-f]{2}", r"\\ud[c-f][0-9a-f]{2}"
ESCAPES = re.compile(rf"\\[^u]|{HIGH}{LOW}|(?P<unstorable>\\u0000|{HIGH}|{LOW})")
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
_encode_sorted = json.JSONEncoder(allow_nan=False, separators=(",", ":"), sort_keys=True).encode


def encode(args: Mapping[str, object]) -> str:
    """Give compact JSON in ASCII, whatever the connection's encoding.

    Raises:
        TypeError, ValueError, RecursionError: it is no JSON.
    """
    return _encode(args)


def encode_sorted(args: Mapping[str, object]) -> str:
    """Give the same text for the same arguments, in whatever order they were given."""
    return _encode_sorted(args)


def checked(task: str, text: str) -> str:
    """Give the text back if it may be sent; depth and the rest are the database's to judge.

    Raises:
        EnqueueRefused: it is too large, or has a character that Postgres cannot store.
    """
    if len(text) > MAX_BYTES:
        raise EnqueueRefused(
            f"the arguments of task {task!r} are larger than 1 MiB; store them elsewhere and give a"
            " reference"
        )
    if ("\\u0000" in text or "\\ud" in text) and _has_unstorable(text):
        raise EnqueueRefused(
            f"the arguments of task {task!r} have a character that Postgres cannot store (NUL, lone"
            " surrogate); remove it, or encode the bytes as base64"
        )
    return text


def _has_unstorable(text: str) -> bool:
    return any(match["unstorable"] for match in ESCAPES.finditer(text))
