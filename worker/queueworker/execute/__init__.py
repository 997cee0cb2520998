"""Run one job under its timeout and give an `Outcome`; nothing that a handler does raises here."""

from queueworker.execute.call import Call
from queueworker.execute.executors import Executors

__all__ = ["Call", "Executors"]
