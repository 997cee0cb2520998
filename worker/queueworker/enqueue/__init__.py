"""Enqueue: in the caller's transaction, or on a connection of one's own.

What needs the database's driver is loaded when it is first used: the driver takes longer to import
than all of this package, and a process that only declares tasks never needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from queueworker.enqueue.options import chosen, for_all

if TYPE_CHECKING:
    from queueworker.enqueue.calls import enqueue, enqueue_many, enqueue_many_sync, enqueue_sync
    from queueworker.enqueue.cancelling import cancel, cancel_sync
    from queueworker.enqueue.producer import Producer

__all__ = [
    "Producer",
    "cancel",
    "cancel_sync",
    "chosen",
    "enqueue",
    "enqueue_many",
    "enqueue_many_sync",
    "enqueue_sync",
    "for_all",
]

HOMES: Final = {
    "Producer": "producer",
    "cancel": "cancelling",
    "cancel_sync": "cancelling",
    "enqueue": "calls",
    "enqueue_many": "calls",
    "enqueue_many_sync": "calls",
    "enqueue_sync": "calls",
}


def __getattr__(name: str) -> Any:  # the modules decide
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Kept, so that the next use finds it without coming here.
    found = globals()[name] = getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
    return found
