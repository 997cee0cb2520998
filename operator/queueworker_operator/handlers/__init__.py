"""The operator in a cluster: watch, dispatch, report. kopf is known here and nowhere below."""

from queueworker_operator.handlers.operate import operate

__all__ = ["operate"]
