"""The worker process: what stands below, wired together."""

from queueworker.worker.worker import Worker

__all__ = ["Worker"]
