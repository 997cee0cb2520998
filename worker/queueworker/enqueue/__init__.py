"""Enqueue: in the caller's transaction, or on a connection of one's own."""

from queueworker.enqueue.calls import enqueue, enqueue_many, enqueue_many_sync, enqueue_sync
from queueworker.enqueue.cancel import cancel, cancel_sync
from queueworker.enqueue.options import chosen, for_all
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
