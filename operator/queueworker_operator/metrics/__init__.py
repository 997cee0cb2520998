"""What the operator exports: its own work, and the figures of the queues that it reads."""

from queueworker_operator.metrics.exporter import Metrics, Published
from queueworker_operator.metrics.queues import QueueFigures

__all__ = ["Metrics", "Published", "QueueFigures"]
