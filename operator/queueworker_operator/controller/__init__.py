"""One loop per database: read all its queues, decide each, act, record, report."""

from queueworker_operator.controller.loop import DatabaseLoop
from queueworker_operator.controller.watch import Assignment

__all__ = ["Assignment", "DatabaseLoop"]
