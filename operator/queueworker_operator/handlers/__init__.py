"""The operator in a cluster: watch, dispatch, report. kopf is known here and nowhere below."""

from queueworker_operator.handlers.operate import operate
from queueworker_operator.handlers.watch import check_watchable

__all__ = ["check_watchable", "operate"]
